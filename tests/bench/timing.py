"""How long a side takes from its first output in the log to its last, by the wall's clock and by this process's CPU."""

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass

from libs.bus import Outgoing, encode, headers_for
from libs.bus.kafka import KafkaBus
from schemas.prompts import PromptRefused, PromptRepeated
from tests.support.bus_bench import question

_LOOK_EVERY = 0.05
"""Seconds. Looking more often would cost the side that is being measured."""


@dataclass(frozen=True)
class Spent:
    """What `count` records took, in seconds."""

    count: int
    wall: float
    cpu: float

    @property
    def per_second(self) -> float:
        """Records per second."""
        return self.count / self.wall

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU per record: a busy machine falsifies it less."""
        return self.cpu / self.count * 1e6


async def fill(bus: KafkaBus, count: int, keys: int) -> None:
    """Writes the inputs, 400 bytes of body with CloudEvents headers: prompt ids `p0`, `p1` ... on so many keys."""
    producer = await bus.producer()
    for number in range(count):
        event = question(f"p{number}", f"k{number % keys}")
        headers = headers_for(event, f"id-{number}", "bench")
        future = await producer.send(Outgoing(PromptRefused.TYPE, event.key.encode(), encode(event), headers, 0))
    await future
    await producer.stop()


async def timed(bus: KafkaBus, side: Awaitable[None], count: int) -> Spent:
    """Runs a side until it has written so many outputs. Its start is left out. Raises what ended it early."""
    before = await _written(bus)
    running = asyncio.ensure_future(side)
    first = await _until(bus, before + 1, running)
    began = time.perf_counter(), time.process_time()
    await _until(bus, before + count, running)
    spent = Spent(before + count - first, time.perf_counter() - began[0], time.process_time() - began[1])
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return spent


async def _until(bus: KafkaBus, count: int, running: "asyncio.Future[None]") -> int:
    while (found := await _written(bus)) < count:
        if running.done():
            running.result()
        await asyncio.sleep(_LOOK_EVERY)
    return found


async def _written(bus: KafkaBus) -> int:
    return sum((await bus.end_offsets(PromptRepeated.TYPE)).values())
