"""Services at work in the test's own process, and a look at what they write."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from opentelemetry.metrics import NoOpMeter

from libs.bus import Outgoing, Record, encode
from libs.bus.kafka import KafkaBus
from libs.service import Runtime, Service
from libs.settings import ServiceSettings
from libs.telemetry import Metrics, Traces
from schemas.base import Event, Lane
from schemas.topics import topic_of


@asynccontextmanager
async def running(service: Service, bus: KafkaBus, folder: Path | None = None) -> AsyncIterator[None]:
    """The service's life while the block runs. `folder`: where it keeps its data."""
    stop = asyncio.Event()
    shared = ServiceSettings(grace_seconds=5) if folder is None else ServiceSettings(grace_seconds=5, data_dir=folder)
    runtime = Runtime(bus, Metrics(NoOpMeter("test")), Traces(None), shared)
    life = asyncio.create_task(service.run_on(runtime, stop))
    try:
        yield
    finally:
        stop.set()
        await life


async def publish(bus: KafkaBus, event: Event, lane: Lane = Lane.REAL_TIME, *, partition: int = 1) -> None:
    """Writes an event where the contract wants it, and waits until the log has it."""
    producer = await bus.producer()
    topic = topic_of(type(event), lane).name
    await (await producer.send(Outgoing(topic, event.key.encode(), encode(event), (), partition)))
    await producer.stop()


async def first(bus: KafkaBus, topic: str, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> Record:
    """The first record on a topic whose body is wanted."""
    starts = dict(await bus.start_offsets(topic))
    async with asyncio.timeout(60):
        async for records in bus.follow(topic, starts):
            for record in records:
                if wanted(json.loads(record.value or b"{}")):
                    return record
    raise AssertionError("a topic has no end")


async def everything(bus: KafkaBus, topic: str) -> list[dict[str, Any]]:
    """The bodies that a topic holds now."""
    return [json.loads(r.value or b"") for p in await bus.partitions(topic) async for r in bus.read(topic, p)]
