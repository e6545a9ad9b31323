"""Something that is looked at again and again while a service lives; whatever fails is tried at the next look."""

import asyncio
from abc import ABC, abstractmethod
from datetime import timedelta
from types import TracebackType
from typing import Self

from libs.telemetry import get_logger


class Periodic(ABC):
    """At work while it is entered."""

    def __init__(self, name: str, every: timedelta, *, ever: bool = True) -> None:
        """`name`: in the log. `ever` False: there is nothing to look at."""
        self._every, self._ever = every.total_seconds(), ever
        self._log = get_logger(name)
        self._name = name
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def look(self) -> None:
        """Does what is due."""

    async def __aenter__(self) -> Self:
        if self._ever:
            self._task = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _go_on(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as error:
                # Broker and disk come back.
                self._log.warning(f"the {self._name} waits", error=type(error).__name__, reason=str(error))
            await asyncio.sleep(self._every)
