"""The adapters that one engine has at hand: each is loaded when it is first asked for, while the engine goes on.

So a replica that starts late, or again, needs nobody to tell it what serves. Checked before use, all of it.
"""

import asyncio
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Protocol

from libs.model_registry import AdapterError, Adapters
from libs.model_registry.base import base_of


class AdapterLoader(Protocol):
    """What the shelf needs of an engine."""

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of those that are loaded."""

    def load_adapter(self, folder: Path) -> None:
        """Blocks. Raises ValueError where it cannot be used."""

    def unload_adapter(self, name: str) -> None:
        """What was begun with it ends with it."""


class AdapterShelf:
    """Holds `room` adapters; for one more, the one that nobody has asked for longest goes. `base`: the model's name."""

    def __init__(self, engine: AdapterLoader, base: str, room: int) -> None:
        self._engine = engine
        self._base = base
        self._room = room
        self._used: OrderedDict[str, None] = OrderedDict()
        self._loading = asyncio.Lock()

    async def have(self, models: Path, name: str) -> None:
        """Returns when the adapter in that folder of adapters is loaded. Raises ValueError where it cannot be.

        What is submitted to the engine before the caller waits for anything finds it there.
        """
        if name not in self._engine.adapters:
            async with self._loading:
                if name not in self._engine.adapters:
                    await asyncio.to_thread(self._load, models, name)
        self._used[name] = None
        self._used.move_to_end(name)
        while len(self._used) > self._room:
            oldest, _ = self._used.popitem(last=False)
            self._engine.unload_adapter(oldest)

    def _load(self, models: Path, name: str) -> None:
        adapter = Adapters(models).open(name)
        if faults := adapter.verify():
            raise AdapterError(f"adapter {name} is damaged: {'; '.join(faults)}")
        if adapter.card.base.digest != self._digest:
            raise AdapterError(f"adapter {name} belongs to another base, {adapter.card.base.name} as it was then")
        self._engine.load_adapter(adapter.folder)

    @cached_property
    def _digest(self) -> str:
        return base_of(self._base).digest
