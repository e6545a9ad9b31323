"""Stages at work in the test's own process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.bus import Stage


@asynccontextmanager
async def at_work(stage: Stage) -> AsyncIterator[None]:
    """Runs while the block does; leaving raises what ended it."""
    task = asyncio.create_task(stage.run())
    try:
        yield
    finally:
        stage.stop()
        await task
