"""The real broker, one per test process, for every integration test. Topics are the test's own business."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from infra.kafka import Cluster
from libs.settings import BusSettings


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One broker without topics; it dies with the test process, whatever ends that."""
    with Cluster(tmp_path_factory.mktemp("kafka"), die_with_parent=True) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def bus_settings(cluster: Cluster) -> BusSettings:
    return BusSettings(bootstrap_servers=cluster.bootstrap_servers)


@pytest.fixture
def kafka_folder(tmp_path: Path) -> Path:
    """Folder for a broker of the test's own, to be killed and restarted."""
    return tmp_path / "kafka"


@pytest.fixture
async def producer(bus_settings: BusSettings) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(
        bootstrap_servers=bus_settings.bootstrap_servers, acks="all", max_request_size=4 * 1024 * 1024
    ) as producer:
        yield producer
