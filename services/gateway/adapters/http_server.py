"""The HTTP server's life: it listens while the block runs; leaving it, open requests may end within the grace.

Whoever still waits then is told 503 (or, in a stream, the same as an event) before the connections close.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from libs.health import serving
from services.gateway.domain import Desk

_TO_SAY_GOODBYE = 2.0
"""Seconds beyond the grace for the last answers to be written."""


@asynccontextmanager
async def http_server(
    app: ASGIApp, host: str, port: int, desk: Desk, *, grace_seconds: float, listening: Callable[[int], None]
) -> AsyncIterator[None]:
    """`listening` is told the port. Raises OSError where it is taken."""
    async with serving(app, host, port, grace_seconds=grace_seconds + _TO_SAY_GOODBYE) as chosen:
        listening(chosen)
        closing: asyncio.TimerHandle | None = None
        try:
            yield
        finally:
            closing = asyncio.get_running_loop().call_later(grace_seconds, desk.close)
    closing.cancel()
