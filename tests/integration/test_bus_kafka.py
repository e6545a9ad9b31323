"""What only the real broker can show: retention, compression, reading by time, names, an unreachable cluster."""

import asyncio
import gc
import time
import warnings
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition as KafkaPartition

from libs.bus import Record, View, ViewReader
from libs.bus.kafka import KafkaBus, connection
from libs.settings import BusSettings
from schemas.prompts import PromptRefused
from tests.conftest import MakeKafka
from tests.support.bus_bench import TOPICS, Bench, Log, answer, eventually, kill, on, question


@pytest.fixture
async def settings(make_kafka: MakeKafka) -> BusSettings:
    return await make_kafka(*TOPICS)


@pytest.fixture
async def bench(settings: BusSettings) -> AsyncIterator[Bench]:
    bus = KafkaBus(settings, client_id="test")
    yield Bench(bus)
    await bus.close()


async def test_a_view_is_ready_though_retention_has_deleted_all_it_would_read(
    bench: Bench, settings: BusSettings
) -> None:
    await bench.put(question("a"), question("b"))
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    await admin.delete_records({KafkaPartition(settings.topic_prefix + "prompt-refused", 0): RecordsToDelete(2)})
    await admin.close()
    got = Log()

    async def apply(event: PromptRefused, record: Record) -> None:
        got.add(event.prompt_id)

    reader = ViewReader("viewer", bench.bus, View(PromptRefused, apply))
    task = asyncio.create_task(reader.run())
    try:
        await eventually(lambda: reader.ready)
        await bench.put(question("c"))
        await got.until("c")
    finally:
        await kill(task)
    assert got.items == ["c"]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_records_compressed_by_any_codec_are_handled(bench: Bench, settings: BusSettings, codec: str) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, compression_type=codec, linger_ms=20
    ) as producer:
        for i in range(20):
            event = question(f"p{i}")
            await producer.send(settings.topic_prefix + "prompt-refused", event.model_dump_json().encode(), b"k", 0)
    async with bench.running(on(answer)):
        await bench.notes.until("handled", 20)
    assert await bench.answers() == [f"p{i}" for i in range(20)]


async def test_reading_starts_at_a_time_and_ends_at_an_offset(bench: Bench) -> None:
    await bench.put(question("a"))
    [first] = await bench.read("prompt-refused")
    later = first.timestamp + 1
    await eventually(lambda: time.time() * 1000 > later)
    await bench.put(question("b"), question("c"), question("d"))
    found = [r.offset async for r in bench.bus.read("prompt-refused", 0, since_ms=later, end=3)]
    assert found == [1, 2]
    assert [r.offset async for r in bench.bus.read("prompt-refused", 0, start=2)] == [2, 3]
    assert [r async for r in bench.bus.read("prompt-refused", 0, since_ms=first.timestamp + 10_000_000)] == []
    assert await bench.bus.start_offsets("prompt-refused") == {0: 0, 1: 0}
    assert await bench.bus.end_offsets("prompt-refused") == {0: 4, 1: 0}


async def test_a_missing_topic_is_named(bench: Bench) -> None:
    with pytest.raises(LookupError, match="no topic 'nowhere'"):
        await bench.bus.partitions("nowhere")


async def test_a_cluster_that_is_not_there_is_not_reachable(bench: Bench) -> None:
    assert await bench.bus.reachable()
    nowhere = KafkaBus(BusSettings(bootstrap_servers="127.0.0.1:1"), client_id="test")
    assert not await nowhere.reachable()
    await nowhere.close()


def test_sasl_without_its_password_says_which_setting_is_missing() -> None:
    with pytest.raises(ValueError, match="TAILRACE_SASL_PASSWORD"):
        connection(BusSettings(security_protocol="SASL_PLAINTEXT", sasl_username="me"))


def test_sasl_and_tls_reach_the_client() -> None:
    found = connection(BusSettings(security_protocol="SASL_SSL", sasl_username="me", sasl_password="secret"))
    assert found["sasl_plain_password"] == "secret"
    assert found["ssl_context"].check_hostname


async def test_a_start_that_is_cancelled_on_its_way_leaves_no_connection_open(settings: BusSettings) -> None:
    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always", ResourceWarning)
        for turns in range(30):
            bus = KafkaBus(settings, client_id="test")
            reading = asyncio.create_task(bus.partitions("prompt-refused"))
            for _ in range(turns):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await bus.close()
        gc.collect()
    assert [str(warning.message) for warning in unclosed] == []
