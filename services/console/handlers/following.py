"""Reading outcomes as they are written, without a group: the console leaves no trace on the broker."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from libs.bus import Bus, Record


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


async def first_failure(*tasks: "asyncio.Task[None]") -> None:
    """Returns when the first task is done, the others cancelled. Raises what it raised."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
