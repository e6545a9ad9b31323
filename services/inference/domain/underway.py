"""Generations under way, so that a cancellation or a deadline can end one. One mechanism for both: a time-out."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

Identity = tuple[str, str]
"""Tenant and prompt id."""


class Cancelled(Exception):  # noqa: N818 - named after what happened
    """The upstream no longer wants the answer."""


class DeadlineExceeded(Exception):  # noqa: N818
    """The answer would come too late."""


class Underway:
    """Knows what runs, and the last cancellations, also of prompts that have not arrived yet."""

    def __init__(self, *, remember: int = 10_000) -> None:
        self._scopes: dict[Identity, asyncio.Timeout] = {}
        self._cancelled: OrderedDict[Identity, None] = OrderedDict()
        self._remember = remember

    def cancel(self, identity: Identity) -> None:
        """Ends the generation, now or as soon as it would begin. Twice is harmless."""
        self._cancelled[identity] = None
        if len(self._cancelled) > self._remember:
            self._cancelled.popitem(last=False)
        if (scope := self._scopes.get(identity)) is not None:
            scope.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def until_told(self, identity: Identity, seconds: float | None) -> AsyncGenerator[None, None]:
        """Runs the block for at most so long. Raises Cancelled or DeadlineExceeded."""
        self._check(identity, seconds)
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                self._scopes[identity] = scope
                try:
                    yield
                finally:
                    del self._scopes[identity]
        except TimeoutError:
            if not scope.expired():
                raise
            self._check(identity, None)
            raise DeadlineExceeded from None

    def _check(self, identity: Identity, seconds: float | None) -> None:
        if identity in self._cancelled:
            raise Cancelled
        if seconds is not None and seconds <= 0:
            raise DeadlineExceeded
