"""Reading outcomes as they are written, without a group: the console leaves no trace on the broker."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from libs.bus import Bus, Record

_PATIENCE = 5.0
"""Seconds in which a client has closed."""


async def tell_new(bus: Bus, topic: str, starts: Mapping[int, int], heard: Callable[[Record], None]) -> None:
    """Hands on every record of the topic from the given offsets, until cancelled."""
    async for records in bus.follow(topic, starts):
        for record in records:
            heard(record)


async def recent(bus: Bus, topic: str, since_ms: int | None) -> AsyncIterator[Record]:
    """What the topic holds since then, partition by partition; empty ones cost nothing."""
    for partition, end in sorted((await bus.end_offsets(topic)).items()):
        if end:
            async for record in bus.read(topic, partition, since_ms=since_ms):
                yield record


async def first_failure(*tasks: "asyncio.Task[None]", patience: float = _PATIENCE) -> None:
    """Returns when the first task is done, the others cancelled. Raises what it raised."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _gone(tasks, patience)


async def _gone(tasks: Sequence["asyncio.Task[None]"], patience: float) -> None:
    """Cancels until all are done: a cancellation that comes with a client's result may be lost in the client."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=patience)
    await asyncio.gather(*tasks, return_exceptions=True)
