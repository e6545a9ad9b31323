"""The real broker: starts, keeps its records through kill and restart, leaves nothing running, takes what it should."""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition

from infra.kafka import Broker, BrokerError, Cluster, ensure_topics, tool_command
from libs.settings import BusSettings
from schemas.topics import Topic

pytestmark = pytest.mark.broker


async def new_topic(settings: BusSettings, *, partitions: int = 1) -> str:
    topic = Topic(f"t-{uuid.uuid4().hex}", None, (), (), "of one test", partitions=partitions)
    await ensure_topics(settings, [topic])
    return topic.name


async def records(settings: BusSettings, topic: str, count: int) -> list[bytes | None]:
    """The first `count` records of partition 0."""
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers, max_partition_fetch_bytes=4 * 1024 * 1024
    ) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        return [(await consumer.getone()).value for _ in range(count)]


async def write(settings: BusSettings, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


def output_of(command: list[str], text: str = "") -> str:
    return subprocess.run(command, input=text, text=True, check=True, capture_output=True, timeout=60).stdout


async def test_a_record_of_two_megabytes_comes_back_whole(
    producer: AIOKafkaProducer, bus_settings: BusSettings
) -> None:
    topic, body = await new_topic(bus_settings), os.urandom(2 * 1024 * 1024)
    await producer.send_and_wait(topic, body)
    assert await records(bus_settings, topic, 1) == [body]


async def test_a_record_above_the_broker_limit_is_refused(bus_settings: BusSettings) -> None:
    topic = await new_topic(bus_settings)
    async with AIOKafkaProducer(
        bootstrap_servers=bus_settings.bootstrap_servers, max_request_size=8 * 1024 * 1024
    ) as producer:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topic, bytes(5 * 1024 * 1024))


async def test_a_mistyped_topic_is_an_error_and_not_a_new_topic(bus_settings: BusSettings) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bus_settings.bootstrap_servers, request_timeout_ms=1000) as producer:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.send_and_wait("promt-submitted", b"{}")


async def test_records_survive_kill_9_and_a_restart_on_the_same_address(kafka_folder: Path) -> None:
    async with Cluster(kafka_folder, die_with_parent=True) as cluster:
        settings = BusSettings(bootstrap_servers=cluster.bootstrap_servers)
        topic = await new_topic(settings)
        await write(settings, topic, b"before")
        [broker] = cluster.brokers
        broker.kill()
        assert broker.pid is None
        assert not broker.serves()
        broker.restart()
        await write(settings, topic, b"after")
        assert cluster.bootstrap_servers == settings.bootstrap_servers
        assert await records(settings, topic, 2) == [b"before", b"after"]


async def test_a_cluster_opened_again_is_the_same_cluster(kafka_folder: Path) -> None:
    async with Cluster(kafka_folder, die_with_parent=True) as first:
        settings = BusSettings(bootstrap_servers=first.bootstrap_servers)
        topic = await new_topic(settings)
        await write(settings, topic, b"kept")
        pid = first.brokers[0].pid
    assert pid is not None
    assert not psutil.pid_exists(pid)
    async with Cluster(kafka_folder, die_with_parent=True) as again:
        assert again.bootstrap_servers == settings.bootstrap_servers
        assert await records(settings, topic, 1) == [b"kept"]


async def test_three_brokers_serve_on_when_one_is_killed(kafka_folder: Path) -> None:
    async with Cluster(kafka_folder, brokers=3, heap_mb=256, die_with_parent=True) as cluster:
        settings = BusSettings(bootstrap_servers=cluster.bootstrap_servers, replication_factor=3)
        topic = await new_topic(settings)
        await write(settings, topic, b"three replicas")
        cluster.brokers[0].kill()
        await write(settings, topic, b"two replicas")
        assert await records(settings, topic, 2) == [b"three replicas", b"two replicas"]


def test_a_broker_dies_with_its_killed_parent(kafka_folder: Path) -> None:
    program = (
        "import sys, pathlib, signal; from infra.kafka import Cluster\n"
        "cluster = Cluster(pathlib.Path(sys.argv[1]), die_with_parent=True).start()\n"
        "print(cluster.brokers[0].pid, flush=True); signal.pause()"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, kafka_folder], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        broker = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert psutil.wait_procs([broker], timeout=10)[1] == []


def test_a_broker_that_cannot_start_says_why(kafka_folder: Path) -> None:
    cluster = Cluster(kafka_folder, overrides={"num.io.threads": "none"}, die_with_parent=True)
    with pytest.raises(BrokerError, match=r"num\.io\.threads"):
        cluster.start()
    assert all(broker.pid is None for broker in cluster.brokers)


def test_a_folder_of_one_broker_does_not_open_as_three(kafka_folder: Path) -> None:
    with Cluster(kafka_folder, die_with_parent=True):
        pass
    with pytest.raises(BrokerError, match="holds a cluster of 1 brokers, not 3"):
        Cluster(kafka_folder, brokers=3, die_with_parent=True).start()


async def test_kafkas_own_console_tools_write_and_read(bus_settings: BusSettings) -> None:
    topic, server = await new_topic(bus_settings), ("--bootstrap-server", bus_settings.bootstrap_servers)
    produce = tool_command("console-producer", [*server, "--topic", topic])
    await asyncio.to_thread(output_of, produce, "hello\n")
    options = [*server, "--topic", topic, "--from-beginning", "--max-messages", "1"]
    consume = [sys.executable, "-m", "infra.kafka", "tool", "console-consumer", *options]
    assert await asyncio.to_thread(output_of, consume) == "hello\n"


def test_an_unknown_tool_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'console-produce'.*console-producer"):
        tool_command("console-produce")


def test_resident_memory_stays_that_of_a_small_broker(cluster: Cluster) -> None:
    [broker] = cluster.brokers
    assert isinstance(broker, Broker)
    assert 50 < broker.rss_bytes / 2**20 < 600
