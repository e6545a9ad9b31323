"""What runs inside a Ray Serve replica: one engine with its model. Imports torch only there.

Errors that are the request's own travel as values: exceptions lose their type on the way between processes.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.language_models import resolve_model
from libs.language_models.generation import Delta, Finished, GenerationRequest, PromptTooLong
from services.inference.adapters.adapter_shelf import AdapterShelf

_GROUP_SECONDS = 0.03
"""Text of this long is sent together, but for the first: each message between processes costs half a millisecond."""


@dataclass(frozen=True)
class Refused:
    """The engine found the request itself wrong."""

    message: str
    too_long: bool = False


@dataclass(frozen=True)
class NoAdapter:
    """The adapter cannot be loaded here, and why."""

    message: str


class Replica:
    """`options` are the fields of `EngineSettings`, `models` is the folder of adapters, `room` for so many of them."""

    def __init__(self, model: str, options: dict[str, Any], models: Path, room: int) -> None:
        from libs.language_models.engine import Engine, EngineSettings  # noqa: PLC0415 - brings torch

        self._engine = Engine.load(resolve_model(model), EngineSettings(**options))
        self._engine.start()
        self._models = models
        self._shelf = AdapterShelf(self._engine, model, room)

    async def load(self, adapter: str) -> NoAdapter | None:
        """Makes the adapter ready for requests; they do it by themselves where this was not called."""
        try:
            await self._shelf.have(self._models, adapter)
        except (ValueError, OSError) as error:
            return NoAdapter(str(error))
        return None

    async def generate(
        self, request: GenerationRequest
    ) -> AsyncGenerator[Delta | Finished | Refused | NoAdapter, None]:
        """Text, then `Finished`; or `Refused`, or `NoAdapter`."""
        if request.adapter is not None and (trouble := await self.load(request.adapter)) is not None:
            yield trouble
            return
        held, sent = "", 0.0
        try:
            async with aclosing(self._engine.generate(request)) as stream:
                async for piece in stream:
                    if isinstance(piece, Delta):
                        held += piece.text
                        if time.monotonic() - sent < _GROUP_SECONDS:
                            continue
                    if held:
                        yield Delta(held)
                        held, sent = "", time.monotonic()
                    if isinstance(piece, Finished):
                        yield piece
        except PromptTooLong as error:
            yield Refused(str(error), too_long=True)
        except ValueError as error:
            yield Refused(str(error))

    def ready(self) -> bool:
        """Whether the engine serves."""
        return self._engine.ready

    def check_health(self) -> None:
        """Asked by Ray Serve, which replaces a replica that raises."""
        if not self._engine.ready:
            raise RuntimeError("the engine is down")
