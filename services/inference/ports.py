"""What inference needs from outside: something that generates text, with adapters, and word of which ones serve."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from libs.language_models.generation import Delta, Finished, GenerationRequest
from schemas.prompts import PromptCleared
from services.inference.domain.serving import Change

Stream = AsyncGenerator[Delta | Finished, None]


class Engine(AbstractAsyncContextManager[Any], Protocol):
    """Entered before use, left after. Closing a stream early frees whatever it held."""

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models it serves, the default first."""

    def ready(self) -> bool:
        """Whether a request would be served now."""

    def generate(self, request: GenerationRequest) -> Stream:
        """Text as it is written, then one `Finished`.

        Raises Rejected where the request is wrong, Retryable where the engine is away or busy.
        """


class AdapterHost(Protocol):
    """Makes promoted adapters ready."""

    async def load(self, adapter: str) -> None:
        """From now on requests may name it; again, this is nothing.

        Raises ValueError (AdapterError) where it cannot be used, Retryable where the engine is away.
        """


class AdaptingEngine(Engine, AdapterHost, Protocol):
    """An engine whose requests may name adapters."""


class Serving(Protocol):
    """Which adapter answers."""

    def begin(self, event: PromptCleared) -> str | None:
        """The adapter for this prompt, None for the bare base; the same when it is tried again, while it can be had."""

    def end(self, event: PromptCleared) -> None:
        """The prompt has its outcome."""

    def trained_on(self, adapter: str | None) -> str | None:
        """The data set that made the adapter, where its card can be read."""

    async def hear(self, change: Change) -> None:
        """A promotion or a rollback. Returns when it is in force, or known to be impossible for now."""
