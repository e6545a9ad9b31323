"""The store is open while the service lives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.feedback.ports import Store


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    """Opening and closing may take their time; the event loop does not wait for them."""
    await asyncio.to_thread(store.open)
    try:
        yield store
    finally:
        await asyncio.to_thread(store.close)
