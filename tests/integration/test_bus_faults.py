"""What breaks in the night: the broker restarts, a process is killed, the broker is away when a stage must stop."""

import asyncio
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from infra.kafka import Cluster, ensure_topics
from libs.bus import Outgoing, encode, headers_for
from libs.bus._ids import output_id
from libs.bus.kafka import KafkaBus
from libs.settings import BusSettings
from schemas.prompts import PromptRefused, PromptRepeated
from schemas.topics import CATALOGUE
from tests.support.bus_bench import TOPICS, Bench, answer, answered, eventually, ids, on, question, started


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker that these tests may harm."""
    with Cluster(tmp_path_factory.mktemp("kafka-to-harm"), die_with_parent=True) as cluster:
        yield cluster


@pytest.fixture
async def settings(own: Cluster) -> BusSettings:
    settings = BusSettings(bootstrap_servers=own.bootstrap_servers, topic_prefix=f"t{uuid.uuid4().hex[:12]}-",
                           topic_partitions=2)  # fmt: skip
    chosen = [replace(t, name=settings.topic_prefix + t.name) for t in CATALOGUE if t.name in TOPICS]
    await ensure_topics(settings, chosen)
    return settings


@pytest.fixture
async def bench(settings: BusSettings) -> AsyncIterator[Bench]:
    bus = KafkaBus(settings, client_id="test")
    yield Bench(bus)
    await bus.close()


async def feed(bench: Bench, names: list[str]) -> None:
    """Writes steadily, over ten keys and two partitions, whatever happens to the broker."""
    producer = await bench.bus.producer()
    for number, name in enumerate(names):
        event = question(name, f"k{number % 10}")
        headers = headers_for(event, f"id-{name}", "test")
        outgoing = Outgoing("prompt-refused", event.key.encode(), encode(event), headers, number % 2)
        await (await producer.send(outgoing))
    await producer.stop()


@pytest.mark.parametrize("way", ["kill", "stop"])
async def test_a_stage_lives_through_a_restart_of_the_broker(own: Cluster, bench: Bench, way: str) -> None:
    names = [f"p{i}" for i in range(1500)]
    [broker] = own.brokers
    async with bench.running(on(answer)) as stage:
        feeding = asyncio.create_task(feed(bench, names))
        await bench.notes.until("handled", 200)
        getattr(broker, way)()
        await asyncio.to_thread(broker.restart)
        await feeding
        await bench.notes.until("handled", len(names))
        await eventually(lambda: stage.in_flight == 0)
    records = await bench.read("prompt-repeated")
    assert sorted(set(answered(records))) == sorted(names)
    assert len(set(ids(records))) == len(names)
    await bench.put(question("after"))
    async with bench.running(on(answer)):
        await bench.notes.until("handled", len(records) + 1)
    assert len(await bench.answers()) == len(records) + 1


@asynccontextmanager
async def child(settings: BusSettings) -> AsyncIterator[asyncio.subprocess.Process]:
    """A stage in a process of its own; killed at the end."""
    arguments = ("-m", "tests.support.stage_process", settings.bootstrap_servers, settings.topic_prefix)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=Path(__file__).parents[2])
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def test_a_stage_that_is_killed_twice_writes_each_output_and_no_other(
    settings: BusSettings, bench: Bench
) -> None:
    names = [f"p{i}" for i in range(6_000)]
    for partition in (0, 1):
        await bench.put(*[question(n, f"k{i % 50}") for i, n in enumerate(names[partition::2])], partition=partition)

    async def written() -> int:
        return sum((await bench.bus.end_offsets("prompt-repeated")).values())

    for share in (0.1, 0.5):
        async with child(settings) as process:
            async with asyncio.timeout(60):
                while await written() < share * len(names):
                    assert process.returncode is None
    assert len(set(ids(await bench.read("prompt-repeated")))) < len(names)
    expected = {output_id(f"id-{name}", "tested", PromptRepeated.TYPE, 0).encode() for name in names}
    async with child(settings):
        found: set[bytes | None] = set()
        async with asyncio.timeout(90):
            while len(found) < len(names):
                found = set(ids(await bench.read("prompt-repeated")))
    assert found == expected
    first: dict[bytes | None, int] = {}
    for record in await bench.read("prompt-repeated"):
        first.setdefault(ids([record])[0], int(answered([record])[0][1:]))
    for key in range(50):
        of_key = [number for number in first.values() if number // 2 % 50 == key]
        for partition in (0, 1):
            order = [number for number in of_key if number % 2 == partition]
            assert order == sorted(order)


async def test_a_stop_ends_though_the_broker_is_away(own: Cluster, bench: Bench) -> None:
    [broker] = own.brokers
    hold = asyncio.Event()

    async def late(event: PromptRefused) -> PromptRepeated:
        if event.prompt_id == "late":
            await hold.wait()
        return answer(event)

    await bench.put(question("early", "a"), question("late", "b"))
    stage = bench.stage(on(late), closing=timedelta(seconds=1), grace=timedelta(seconds=1))
    try:
        async with started(stage) as task:
            await bench.notes.until("handled", 1)
            await eventually(lambda: stage.in_flight == 1)
            broker.kill()
            hold.set()
            await bench.notes.until("handled", 2)
            stage.stop()
            async with asyncio.timeout(30):
                await task
    finally:
        await asyncio.to_thread(broker.restart)
    async with bench.running(on(answer)):
        await bench.notes.until("handled", 3)
    assert set(await bench.answers()) == {"early", "late"}
