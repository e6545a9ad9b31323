"""How far a job is: which lines have their result, how many of which kind, and the writing of more.

Results that come at the same time are written together. A line counts as done once its result is in the file.
"""

import asyncio
from dataclasses import dataclass

from libs.clock import Clock
from services.gateway.domain.batch_lines import done_by
from services.gateway.domain.jobs import Job, Kind
from services.gateway.ports import Workspace

_KINDS: tuple[Kind, ...] = ("output", "errors")
_SAVE_SECONDS = 1.0


@dataclass(slots=True)
class _Waiting:
    kind: Kind
    line: bytes
    written: "asyncio.Future[None]"


class Progress:
    """Use as a context: entering reads what a run before has written."""

    def __init__(self, job: Job, workspace: Workspace, clock: Clock) -> None:
        self._job = job
        self._workspace = workspace
        self._clock = clock
        self._done = bytearray()
        self._counts: dict[Kind, int] = {"output": 0, "errors": 0}
        self._tokens = [0, 0]
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._saved = clock()

    async def __aenter__(self) -> "Progress":
        for kind in _KINDS:
            async for lines in self._workspace.results(kind):
                for line in lines:
                    self._recall(kind, line)
        self._writer = asyncio.create_task(self._write_all())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._writer is not None
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)

    def _recall(self, kind: Kind, line: bytes) -> None:
        found = done_by(line)
        if found is not None and not self.has(found[0]):
            self._note(kind, found[0], found[1], found[2])

    def has(self, number: int) -> bool:
        """Whether this line has its result."""
        return number < len(self._done) and bool(self._done[number])

    @property
    def job(self) -> Job:
        """The job with its counts."""
        return self._job.changed(
            completed=self._counts["output"],
            failed=self._counts["errors"],
            prompt_tokens=self._tokens[0],
            completion_tokens=self._tokens[1],
        )

    async def write(self, kind: Kind, number: int, line: bytes, tokens: tuple[int, int] = (0, 0)) -> None:
        """Returns once the result is in its file. Raises StorageFailed."""
        if self.has(number):
            return
        waiting = _Waiting(kind, line, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._arrived.set()
        await waiting.written
        self._note(kind, number, *tokens)

    def _note(self, kind: Kind, number: int, prompt_tokens: int, completion_tokens: int) -> None:
        if number >= len(self._done):
            self._done.extend(bytes(number + 1024 - len(self._done)))
        self._done[number] = 1
        self._counts[kind] += 1
        self._tokens[0] += prompt_tokens
        self._tokens[1] += completion_tokens

    async def _write_all(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            together, self._waiting = self._waiting, []
            try:
                await self._write(together)
            except Exception as error:
                _tell(together, error)
            else:
                _tell(together, None)

    async def _write(self, together: list[_Waiting]) -> None:
        for kind in _KINDS:
            if lines := b"".join(waiting.line for waiting in together if waiting.kind == kind):
                await self._workspace.append(kind, lines)
        if (self._clock() - self._saved).total_seconds() >= _SAVE_SECONDS:
            self._saved = self._clock()
            await self._workspace.save(self.job)


def _tell(together: list[_Waiting], error: Exception | None) -> None:
    for waiting in together:
        if waiting.written.done():
            continue
        if error is None:
            waiting.written.set_result(None)
        else:
            waiting.written.set_exception(error)
