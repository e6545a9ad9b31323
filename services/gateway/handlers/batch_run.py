"""A batch job from its present state to its end: validate, ask what has no result yet, make the results files.

Each step can be broken off and done again: a job that is taken up goes on where its files say it is.
"""

from dataclasses import dataclass
from datetime import timedelta

from libs.clock import Clock
from services.gateway.domain.batch_lines import custom_id_of, digest
from services.gateway.domain.jobs import Job, Kind, Problem, StoredFile, result_file_id
from services.gateway.handlers.batch_asking import Asker, Work
from services.gateway.handlers.batch_progress import Progress
from services.gateway.ports import Workspace

_PROBLEMS = 100
"""As many are told at once."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator allows."""

    lines: int
    longest_line: int
    look: timedelta
    """How often a running job looks whether it was cancelled."""
    farewell: timedelta
    """How long an expired or cancelled job waits for the outcomes of what is in flight."""
    files_last: timedelta


async def run_job(workspace: Workspace, asker: Asker, rules: Rules, clock: Clock) -> Job:
    """The job at its end. Raises StorageFailed, and goes on from there the next time."""
    job = await workspace.load()
    if job.status == "validating":
        job = await _validate(job, workspace, rules, clock)
    if job.status == "in_progress" and job.ending is None:
        job = await _work(job, workspace, asker, rules, clock)
    if not job.ended:
        job = await _finish(job, workspace, rules, clock)
    await workspace.save(job)
    return job


async def _validate(job: Job, workspace: Workspace, rules: Rules, clock: Clock) -> Job:
    total = 0
    problems: list[Problem] = []
    first: dict[bytes, int] = {}
    async for lines in workspace.input():
        total += len(lines)
        for line in lines:
            custom_id = custom_id_of(line.data)
            if custom_id is None:
                continue
            known = first.setdefault(digest(custom_id), line.number)
            if known != line.number and len(problems) < _PROBLEMS:
                problems.append(_duplicate(line.number, known))
        if total > rules.lines:
            problems = [Problem(code="too_many_lines", message=f"the file has more than {rules.lines} lines: split it")]
            break
    if total == 0:
        problems = [Problem(code="empty_file", message="the file has no lines: write one request per line")]
    if problems:
        return job.moved("failed", clock(), problems=tuple(problems))
    started = job.moved("in_progress", clock(), total=total)
    await workspace.save(started)
    return started


def _duplicate(number: int, first: int) -> Problem:
    message = f'line {number}: the "custom_id" stands in line {first} already; each line needs one of its own'
    return Problem(code="duplicate_custom_id", message=message, line=number, param="custom_id")


async def _work(job: Job, workspace: Workspace, asker: Asker, rules: Rules, clock: Clock) -> Job:
    async with Progress(job, workspace, clock) as progress:
        work = Work(job, workspace, progress, asker, longest_line=rules.longest_line, clock=clock)
        ending = await work.run(look=rules.look.total_seconds(), farewell=rules.farewell.total_seconds())
        done = progress.job.changed(ending=ending)
    if ending == "completed":
        done = done.moved("finalizing", clock())
    else:
        done = done.cancelled_by(await workspace.cancel_asked()) if ending == "cancelled" else done
    await workspace.save(done)
    return done


async def _finish(job: Job, workspace: Workspace, rules: Rules, clock: Clock) -> Job:
    assert job.ending is not None
    output = await _publish("output", job, workspace, rules, clock)
    errors = await _publish("errors", job, workspace, rules, clock)
    return job.moved(job.ending, clock(), output_file_id=output, error_file_id=errors)


async def _publish(kind: Kind, job: Job, workspace: Workspace, rules: Rules, clock: Clock) -> str | None:
    now = clock()
    last = rules.files_last if job.files_last is None else timedelta(seconds=job.files_last)
    file = StoredFile(
        id=result_file_id(job.id, kind),
        tenant=job.tenant,
        bytes=0,
        created_at=now,
        filename=f"{job.id}_{'output' if kind == 'output' else 'error'}.jsonl",
        purpose="batch_output",
        expires_at=now + last,
    )
    return None if await workspace.publish(kind, file) is None else file.id
