"""One stage of ours at a size: so many partitions and processes, events of so many bytes.

A stage is whole services (telemetry, health, uvloop) with an identity handler. First it works off a full topic, then it
is asked one event at a time.
"""

import asyncio
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from libs.bus import encode
from schemas.base import Message
from schemas.prompts import PromptAccepted
from tests.bench.latency import Way, all_ready, create_topics, probe, processes

KEYS = 400
_LOOK_EVERY = 0.02
_SENTENCE = "How far behind may a consumer group fall before anyone is told? "
_FRAME_BYTES = 540
"""Of an event without its text."""
_STRETCH = (0.2, 0.9)
"""What is timed of a full topic's work: its beginning knows processes that are still coming, its end idle ones."""


@dataclass(frozen=True)
class Size:
    """A stage's size. `processes` share the partitions."""

    partitions: int
    processes: int
    event_bytes: int


@dataclass(frozen=True)
class Growth:
    """What was found: events per second of a full topic, and milliseconds of single events."""

    per_second: float
    milliseconds: Sequence[float]


def event(prompt_id: str, size: int) -> bytes:
    """An event of the prompt path whose body has about so many bytes, and never fewer than a small one has."""
    said = (_SENTENCE * (size // len(_SENTENCE) + 1))[: max(1, size - _FRAME_BYTES)]
    return encode(
        PromptAccepted(
            prompt_id=prompt_id,
            tenant="default",
            conversation_id=prompt_id,
            submitted_at=datetime(2026, 1, 1, tzinfo=UTC),
            messages=(Message(role="user", content=said),),
            fingerprint="0" * 64,
        )
    )


async def grow(servers: str, size: Size, events: int, single: int) -> Growth:
    """Topics of its own for each call."""
    source, target = (f"grow-{uuid.uuid4().hex[:8]}-" for _ in range(2))
    topics = [f"{prefix}prompt-accepted{lane}" for prefix in (source, target) for lane in ("", "-batch")]
    await create_topics(servers, topics, size.partitions)
    way = Way(topics[0], topics[2], lambda prompt_id: event(prompt_id, size.event_bytes))
    await fill(servers, way.source, size, events)
    commands = [["tests.bench.hop", servers, source, target, str(number)] for number in range(size.processes)]
    with processes(commands) as running:
        per_second = await rate(servers, way.target, size.partitions, events)
        await all_ready(running)
        async with probe(servers, way) as probed:
            await probed.block()
            found = [value for _ in range(max(1, single // 10)) for value in await probed.block()]
    return Growth(per_second, found)


async def fill(servers: str, topic: str, size: Size, events: int) -> None:
    """Events on many keys, evenly over the partitions; a key stays in its partition."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, max_batch_size=256 * 1024, linger_ms=5)
    await producer.start()
    for number in range(events):
        key = f"k{number % KEYS}"
        await producer.send(topic, event(key, size.event_bytes), key=key.encode(), partition=number % size.partitions)
    await producer.stop()


async def rate(servers: str, topic: str, partitions: int, events: int) -> float:
    """Events per second in the middle stretch, by the ends of the log. Raises TimeoutError when nothing comes."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers)
    await consumer.start()
    places = [TopicPartition(topic, number) for number in range(partitions)]
    seen: list[tuple[float, int]] = []
    try:
        async with asyncio.timeout(120):
            while not seen or seen[-1][1] < events:
                seen.append((time.perf_counter(), sum((await consumer.end_offsets(places)).values())))
                await asyncio.sleep(_LOOK_EVERY)
    finally:
        with suppress(asyncio.CancelledError):
            await consumer.stop()
    return middle(seen, events)


def middle(seen: Sequence[tuple[float, int]], events: int) -> float:
    """Events per second between two looks (seconds, events so far): from a fifth to nine tenths of them."""
    low, high = (share * events for share in _STRETCH)
    began = max((look for look in seen if look[1] <= low), key=lambda look: look[0])
    ended = min((look for look in seen if look[1] >= high), key=lambda look: look[0])
    return (ended[1] - began[1]) / (ended[0] - began[0])
