"""Starts a batch at each tick of a schedule, and puts its results where the schedule says once it has ended."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from libs.clock import Clock
from libs.telemetry import get_logger
from services.gateway.domain.jobs import Job, StoredFile
from services.gateway.domain.schedules import Run, Schedule, Standing
from services.gateway.ports import Files, Jobs, NoInput, Schedules, ScheduleStore, StorageFailed


class Scheduler:
    """While the block runs. `started` is called when there is a new job."""

    def __init__(
        self,
        schedules: Schedules,
        store: ScheduleStore,
        files: Files,
        jobs: Jobs,
        clock: Clock,
        *,
        window: timedelta,
        files_last: timedelta,
        look: timedelta,
        started: Callable[[], None],
    ) -> None:
        self._schedules = schedules
        self._store = store
        self._files = files
        self._jobs = jobs
        self._clock = clock
        self._window = window
        self._files_last = files_last
        self._every = look.total_seconds()
        self._started = started
        self._looking: asyncio.Task[None] | None = None
        self._log = get_logger("schedules")

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._looking is not None
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """One look at all schedules. What goes wrong with one leaves the others alone."""
        for schedule in await self._schedules.reload():
            try:
                await self._look_at(schedule)
            except Exception as error:
                reason = str(error) if isinstance(error, StorageFailed) else type(error).__name__
                self._log.error("a schedule was not looked at", schedule=schedule.name, reason=reason)

    async def _look_at(self, schedule: Schedule) -> None:
        now = self._clock()
        before = await self._store.load(schedule)
        standing = before or Standing(seen=now)
        standing = await self._deliver_ended(schedule, standing)
        may_start = schedule.overlap == "allow" or not standing.under_way
        tick = schedule.due(standing.seen, now) if schedule.enabled and may_start else None
        if tick is not None:
            standing = await self._start(schedule, standing, tick)
        if standing != before:
            await self._store.save(schedule, standing)

    async def _start(self, schedule: Schedule, standing: Standing, tick: datetime) -> Standing:
        run = Run(tick=tick, job_id=schedule.job_id(tick))
        # It may have been started just before a crash, or by another gateway.
        if await self._jobs.find(schedule.tenant, run.job_id) is None:
            try:
                await self._create(schedule, run)
            except NoInput as error:
                self._log.error("a schedule has no input", schedule=schedule.name, reason=str(error))
                return standing.model_copy(update={"seen": tick, "problem": str(error)})
            self._log.info("scheduled batch", schedule=schedule.name, tick=tick.isoformat(), batch=run.job_id)
            self._started()
        changes = {"seen": tick, "under_way": (*standing.under_way, run), "last": run, "problem": None}
        return standing.model_copy(update=changes)

    async def _create(self, schedule: Schedule, run: Run) -> None:
        now, size = self._clock(), 0
        async with aclosing(self._store.read_input(schedule)) as content, self._files.writing() as upload:  # type: ignore[type-var]
            async for piece in content:
                size += len(piece)
                await upload.write(piece)
            file = StoredFile(
                id=schedule.file_id(run.tick), tenant=schedule.tenant, bytes=size, created_at=now,
                filename=f"{schedule.name}.jsonl", purpose="batch", expires_at=now + self._files_last,
            )  # fmt: skip
            await upload.keep(file)
        job = Job(
            id=run.job_id, tenant=schedule.tenant, endpoint="/v1/chat/completions", input_file_id=file.id,
            completion_window="24h", created_at=now, expires_at=now + self._window, schedule=schedule.name,
            metadata={"schedule": schedule.name, "tick": run.tick.isoformat()},
        )  # fmt: skip
        await self._jobs.create(job)

    async def _deliver_ended(self, schedule: Schedule, standing: Standing) -> Standing:
        left = [run for run in standing.under_way if not await self._delivered(schedule, run)]
        return standing.model_copy(update={"under_way": tuple(left)})

    async def _delivered(self, schedule: Schedule, run: Run) -> bool:
        job = await self._jobs.find(schedule.tenant, run.job_id)
        if job is None:
            return True
        if not job.ended:
            return False
        name = f"{schedule.name}-{run.tick:%Y%m%dT%H%M%SZ}"
        for kind, file_id in (("output", job.output_file_id), ("errors", job.error_file_id)):
            file = await self._files.find(job.tenant, file_id) if file_id else None
            if file is not None:
                await self._store.deliver(schedule, f"{name}.{kind}.jsonl", await self._files.read(file))
        # The last one: who sees it finds the others whole.
        await self._store.deliver(schedule, f"{name}.status.json", _report(job))
        return True


async def _report(job: Job) -> AsyncIterator[bytes]:
    told = {"batch": job.id, "status": job.status, "total": job.total, "completed": job.completed, "failed": job.failed}
    problems = [problem.model_dump() for problem in job.problems]
    yield json.dumps({**told, "problems": problems}).encode() + b"\n"
