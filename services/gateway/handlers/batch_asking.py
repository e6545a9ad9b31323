"""The lines of a job as prompts on the batch lane: a bounded number in flight, each until its outcome is in a file.

A line's prompt has the same id however often it is asked, so asking again, after a crash or a long silence, gets the
same outcome and no second answer.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from libs.bus import Envelope
from libs.clock import Clock
from schemas.base import Lane
from schemas.prompts import PromptCancelled, PromptSubmitted
from schemas.responses import ResponseReady
from services.gateway.domain import Desk, fingerprint
from services.gateway.domain.batch_lines import (
    RawLine,
    Request,
    Result,
    Unusable,
    custom_id_of,
    error_line,
    read_line,
    response_line,
)
from services.gateway.domain.jobs import Ending, Job
from services.gateway.handlers.batch_progress import Progress
from services.gateway.ports import Log, LogUnavailable, Translation, Workspace

_NOT_READY_SECONDS, _LOG_AWAY_SECONDS = 0.1, 1.0
_LEFT = {
    "expired": ("batch_expired", "this request was not answered before the batch's completion window closed"),
    "cancelled": ("batch_cancelled", "the batch was cancelled before this request was answered"),
}


@dataclass(frozen=True, slots=True)
class Asker:
    """What all jobs of a gateway share. `slots`: prompts in flight, of all jobs together."""

    desk: Desk
    log: Log
    translation: Translation
    slots: asyncio.Semaphore
    ask_again: timedelta
    """A prompt without an outcome for so long is published again, which repeats nothing."""

    async def outcome(self, prompt: PromptSubmitted, envelope: Envelope) -> ResponseReady:
        """Publishes until there is an outcome, however long the log is away."""
        while True:
            while not self.log.ready:  # noqa: ASYNC110 - the log says no more than whether it is ready
                await asyncio.sleep(_NOT_READY_SECONDS)
            ticket = self.desk.open((prompt.tenant, prompt.prompt_id), fingerprint(prompt))
            try:
                await self.log.publish(prompt, envelope, Lane.BATCH)
                found = await ticket.next(self.ask_again.total_seconds())
                assert isinstance(found, ResponseReady)
            except TimeoutError:
                continue
            except LogUnavailable:
                await asyncio.sleep(_LOG_AWAY_SECONDS)
            else:
                return found
            finally:
                ticket.close()


class Work:
    """One run over a job's lines."""

    def __init__(
        self, job: Job, workspace: Workspace, progress: Progress, asker: Asker, *, longest_line: int, clock: Clock
    ) -> None:
        self._job = job
        self._workspace = workspace
        self._progress = progress
        self._asker = asker
        self._longest_line = longest_line
        self._clock = clock
        self._in_flight: dict[asyncio.Task[None], PromptSubmitted | None] = {}
        self._ending: Ending | None = None

    async def run(self, *, look: float, farewell: float) -> Ending:
        """Until every line has its result. Seconds: see `Rules`. Raises what broke it."""
        asking = asyncio.create_task(self._ask_all())
        try:
            while not asking.done() and (ending := await self._told_to_end()) is None:
                await asyncio.wait({asking}, timeout=look)
            if asking.done():
                asking.result()
                return "completed"
            self._ending = ending
            await self._wind_down(asking, farewell)
            assert ending is not None
            await self._give_up_the_rest(ending)
            return ending
        finally:
            tasks = [asking, *self._in_flight]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _told_to_end(self) -> Ending | None:
        if await self._workspace.cancel_asked() is not None:
            return "cancelled"
        return "expired" if self._clock() >= self._job.expires_at else None

    async def _ask_all(self) -> None:
        async for lines in self._workspace.input():
            for line in lines:
                if not self._progress.has(line.number):
                    await self._asker.slots.acquire()
                    self._start(line)
                    self._raise_failure()
        while self._in_flight:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
            self._raise_failure()

    def _start(self, line: RawLine) -> None:
        task = asyncio.create_task(self._take(line))
        self._in_flight[task] = None
        # Not in the task itself: one that is cancelled before it begins runs none of its code.
        task.add_done_callback(lambda _: self._asker.slots.release())

    def _raise_failure(self) -> None:
        for task in [task for task in self._in_flight if task.done()]:
            del self._in_flight[task]
            task.result()

    async def _take(self, raw: RawLine) -> None:
        request = read_line(raw, self._job.endpoint, self._longest_line)
        if isinstance(request, Unusable):
            await self._progress.write("errors", raw.number, error_line(self._job, request))
            return
        prompt = self._asker.translation.prompt(request, self._job)
        if isinstance(prompt, Result):
            await self._keep(request, "", prompt)
            return
        task = asyncio.current_task()
        assert task is not None
        self._in_flight[task] = prompt
        outcome = await self._asker.outcome(prompt, Envelope(self._job.id))
        if (ending := self._ended_by(outcome)) is not None:
            await self._give_up(raw, request.custom_id, ending)
        else:
            await self._keep(request, prompt.prompt_id, self._asker.translation.answer(outcome, request))

    def _ended_by(self, outcome: ResponseReady) -> Ending | None:
        """The prompt's deadline is the job's, and who cancels a job cancels its prompts."""
        code = outcome.reason.code if outcome.reason else None
        if code == "deadline_exceeded":
            return "expired"
        return self._ending if code == "cancelled" else None

    async def _keep(self, request: Request, prompt_id: str, result: Result) -> None:
        line = response_line(self._job, request, prompt_id, result)
        tokens = (result.prompt_tokens, result.completion_tokens)
        await self._progress.write(result.kind, request.number, line, tokens)

    async def _wind_down(self, asking: "asyncio.Task[None]", farewell: float) -> None:
        """Nothing more is asked; what is in flight is cancelled on the bus, and may say its outcome."""
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        for prompt in self._in_flight.values():
            if prompt is not None:
                self._asker.log.publish_soon(_cancellation(prompt), Envelope(self._job.id))
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=farewell)
        for task in [task for task in self._in_flight if not task.done()]:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            del self._in_flight[task]
        self._raise_failure()

    async def _give_up_the_rest(self, ending: Ending) -> None:
        async for lines in self._workspace.input():
            left = [raw for raw in lines if not self._progress.has(raw.number)]
            await asyncio.gather(*(self._give_up(raw, custom_id_of(raw.data), ending) for raw in left))

    async def _give_up(self, raw: RawLine, custom_id: str | None, ending: Ending) -> None:
        left = Unusable(raw.number, custom_id, *_LEFT[ending])
        await self._progress.write("errors", raw.number, error_line(self._job, left))


def _cancellation(prompt: PromptSubmitted) -> PromptCancelled:
    return PromptCancelled(prompt_id=prompt.prompt_id, tenant=prompt.tenant, conversation_id=prompt.conversation_id)
