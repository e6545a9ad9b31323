"""Facts of many handlers in one transaction: the store's own time is spent once for all that came meanwhile.

Transactions run in a thread, one after the other, so the event loop goes on fetching and handling.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from libs.bus import Retryable
from libs.clock import Clock
from services.feedback.domain.facts import Fact
from services.feedback.ports import Store

_Waiting = tuple[Fact, "asyncio.Future[None]"]


class GroupCommit:
    """`Intake` of a store. `written` is told after each transaction."""

    def __init__(self, store: Store, clock: Clock, *, most: int, written: Callable[[], None]) -> None:
        self._store, self._clock, self._most, self._written = store, clock, most, written
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def keep(self, fact: Fact) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((fact, future))
        self._arrived.set()
        await future

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while batch := [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]:
                await self._write(batch)

    async def _write(self, batch: list[_Waiting]) -> None:
        """One transaction; who waits for it is told, or given its error."""
        # Whoever was cancelled meanwhile lost his partition: the next owner brings the fact again.
        facts = [fact for fact, future in batch if not future.done()]
        try:
            await asyncio.to_thread(self._store.note, facts, self._clock())
        except Exception as error:
            await self._failed(batch, error)
            return
        for _, future in batch:
            if not future.done():
                future.set_result(None)
        self._written()

    async def _failed(self, batch: list[_Waiting], error: Exception) -> None:
        """One fact that the store cannot hold must not fail its neighbours."""
        if len(batch) > 1 and not isinstance(error, Retryable):
            for each in batch:
                await self._write([each])
            return
        for _, future in batch:
            if not future.done():
                future.set_exception(error)
