"""One prompt at a time: from publish to the last topic, through whatever lies between.

Sides are open at once and asked in turn, a few prompts each, so that noise and the others' idle work hit all alike.
"""

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.bench.frame import Row, in_turn, percentiles

HOPS = 6
"""submitted > accepted > grounded > cleared > generated > cleared > ready."""
PARTITIONS = 4
_BLOCK = 10
_WARM_UP = 600
"""A broker that has just started compiles what it runs: the first prompts take half as long again."""
_PATIENCE = 60.0

Body = Callable[[str], bytes]


@dataclass(frozen=True)
class Way:
    """A path to be timed: where prompts go in and outcomes come out, and what a prompt of that id looks like."""

    source: str
    target: str
    body: Body


class Probe:
    """Sends prompts down one way and waits for each."""

    def __init__(self, way: Way, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self._way = way
        self._producer = producer
        self._consumer = consumer

    async def block(self, _: int = 0) -> list[float]:
        """Milliseconds of each of a few prompts."""
        return [await self._one() for _ in range(_BLOCK)]

    async def _one(self) -> float:
        prompt_id = f"bench-{uuid.uuid4().hex}"
        body = self._way.body(prompt_id)
        started = time.perf_counter()
        async with asyncio.timeout(_PATIENCE):
            await self._producer.send(self._way.source, body, key=prompt_id.encode())
            while (await self._consumer.getone()).key != prompt_id.encode():
                pass
        return (time.perf_counter() - started) * 1000


@asynccontextmanager
async def probe(servers: str, way: Way) -> AsyncIterator[Probe]:
    """A probe that is connected and waits at the end of its way."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(way.target, bootstrap_servers=servers, auto_offset_reset="latest", fetch_max_wait_ms=20)
    try:
        await producer.start()
        await consumer.start()
        await consumer.seek_to_end()
        await asyncio.gather(*[consumer.position(tp) for tp in consumer.assignment()])
        yield Probe(way, producer, consumer)
    finally:
        await producer.stop()
        await consumer.stop()


async def compare(servers: str, ways: Mapping[str, Way], prompts: int) -> dict[str, list[float]]:
    """Milliseconds of so many prompts down each way, in turn."""
    async with AsyncExitStack() as stack:
        probes = {name: await stack.enter_async_context(probe(servers, way)) for name, way in ways.items()}
        for one in probes.values():
            for _ in range(_WARM_UP // _BLOCK):
                await one.block()
        blocks = await in_turn(max(1, prompts // _BLOCK), {name: one.block for name, one in probes.items()})
    return {name: [value for block in found for value in block] for name, found in blocks.items()}


def rows(found: Mapping[str, Sequence[float]]) -> list[Row]:
    """A row per side, then the first one's ratio to each other; with two sides the last row is the ratio."""
    sides = {name: percentiles(values) for name, values in found.items()}
    table: list[Row] = [{"milliseconds": name, **cuts} for name, cuts in sides.items()]
    (_, ours), *others = sides.items()
    for name, cuts in others:
        called = "ratio" if len(others) == 1 else f"ratio to {name}"
        table.append({"milliseconds": called, **{cut: ours[cut] / cuts[cut] for cut in ours}})
    return table


@contextmanager
def processes(commands: Sequence[Sequence[str]]) -> Iterator[Sequence["subprocess.Popen[bytes]"]]:
    """Python modules as processes of their own; each says `ready` on its standard output, then works until the end."""
    running = [subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE) for command in commands]
    try:
        yield running
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


async def all_ready(running: "Sequence[subprocess.Popen[bytes]]") -> None:
    """Returns when each has said so. Raises RuntimeError when one has ended instead."""
    for process in running:
        assert process.stdout is not None
        if not await asyncio.to_thread(process.stdout.readline):
            raise RuntimeError(f"{process.args!r} ended before it was ready")


@asynccontextmanager
async def bare_relay(servers: str, body: Body) -> AsyncIterator[Way]:
    """The floor: a hand-written relay of as many hops, one process per hop."""
    topics = [f"relay-{uuid.uuid4().hex[:8]}-{hop}" for hop in range(HOPS + 1)]
    await create_topics(servers, topics)
    commands = [["tests.bench.relay", servers, *topics[hop : hop + 2]] for hop in range(HOPS)]
    with processes(commands) as running:
        await all_ready(running)
        yield Way(topics[0], topics[-1], body)


async def create_topics(servers: str, names: Sequence[str], partitions: int = PARTITIONS) -> None:
    """Plain topics, by default with as many partitions as the path has."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, 1) for name in names])
        # A client that asks before the broker leads them is told so loudly.
        while any(p["leader"] < 0 for t in await admin.describe_topics(list(names)) for p in t["partitions"]):
            await asyncio.sleep(0.05)
    finally:
        await admin.close()
