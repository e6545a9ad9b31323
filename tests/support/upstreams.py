"""Upstreams that go on asking while something else happens."""

import asyncio
import itertools
from abc import ABC, abstractmethod


class Steady(ABC):
    """Asks without end, until it is `enough`."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.asked: list[str] = []
        """Ids of all prompts."""
        self.enough = asyncio.Event()

    async def flow(self) -> None:
        """What is begun is finished."""
        while not self.enough.is_set():
            await self.ask()
            await asyncio.sleep(0.01)

    @abstractmethod
    async def ask(self, conversation: str | None = None) -> str:
        """One prompt, in a conversation of its own where none is named; its id."""
