"""What inference needs from outside: something that generates text."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from libs.language_models.generation import Delta, Finished, GenerationRequest

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
