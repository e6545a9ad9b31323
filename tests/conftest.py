"""Fixtures for all tests: one real broker per session (shared by parallel workers), and topics of a test's own.

A test that asks for `kafka` gets settings whose topic prefix is its own, so tests never see each other's records.
"""

import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from filelock import FileLock

from infra.kafka import Cluster, ensure_topics
from libs.bus import InMemoryBus
from libs.bus.kafka import KafkaBus
from libs.settings import BusSettings
from schemas.topics import CATALOGUE

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Machines differ and are busy: time is measured in benchmarks, never asserted in tests.
hypothesis.settings.register_profile("tailrace", deadline=None)
hypothesis.settings.load_profile("tailrace")

MakeKafka = Callable[..., Awaitable[BusSettings]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file stay in one worker, so that its fixtures are made once; so do those of one stack.

    Whole stacks come last: they stay up until the session ends, and would slow all that runs beside them. The one
    with the model takes longest, so it goes before the others.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.name))
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if "e2e" not in item.path.parts:
        return 0
    return 1 if item.get_closest_marker("model") is not None else 2


def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups that are not in effect start every stack twice, and nothing says so: so this does."""
    if getattr(session.config.option, "loadgroup", False) and not all("@" in item.nodeid for item in session.items):
        raise pytest.UsageError("pytest-xdist does not group tests by xdist_group; does it fit this pytest?")


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """Bootstrap servers of the session's broker. Parallel workers share it: the last one to leave stops it."""
    if worker_id == "master":
        with Cluster(tmp_path_factory.mktemp("kafka"), die_with_parent=True) as cluster:
            yield cluster.bootstrap_servers
        return
    root = tmp_path_factory.getbasetemp().parent
    with _joined(root) as bootstrap_servers:
        yield bootstrap_servers


class _joined:  # noqa: N801 - reads as a word where it is used
    """Membership in the one broker that the workers of a parallel run share; who started it leaves last."""

    def __init__(self, root: Path) -> None:
        self._lock = FileLock(root / "kafka.lock")
        self._state = root / "kafka.json"
        self._folder = root / f"kafka-{os.getpid()}"
        self._cluster: Cluster | None = None

    def __enter__(self) -> str:
        with self._lock:
            state = self._read()
            if state is None:
                self._cluster = Cluster(self._folder, die_with_parent=True).start()
                state = {"servers": self._cluster.bootstrap_servers, "users": []}
            self._write({**state, "users": [*state["users"], os.getpid()]})
            return str(state["servers"])

    def __exit__(self, *_: object) -> None:
        self._leave()
        if self._cluster is None:
            return
        while any(psutil.pid_exists(pid) for pid in (self._read() or {"users": []})["users"]):
            time.sleep(0.2)
        with self._lock:
            self._state.unlink()
        self._cluster.stop()

    def _leave(self) -> None:
        with self._lock:
            state = self._read()
            assert state is not None
            self._write({**state, "users": [pid for pid in state["users"] if pid != os.getpid()]})

    def _read(self) -> dict[str, Any] | None:
        return json.loads(self._state.read_text()) if self._state.exists() else None

    def _write(self, state: dict[str, Any]) -> None:
        self._state.write_text(json.dumps(state))


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """This worker's name in a parallel run, `master` otherwise."""
    return str(getattr(request.config, "workerinput", {}).get("workerid", "master"))


@pytest.fixture
async def make_kafka(shared_broker: str) -> AsyncIterator[MakeKafka]:
    """Makes settings with fresh topics on the session's broker: `await make_kafka("prompt-submitted", partitions=2)`.

    Without names, the whole catalogue is created. The topics go with the test: thousands of them slow the broker down.
    """
    made: list[str] = []

    async def make(*names: str, partitions: int = 2) -> BusSettings:
        settings = BusSettings(
            bootstrap_servers=shared_broker, topic_prefix=f"t{uuid.uuid4().hex[:12]}-", topic_partitions=partitions
        )
        chosen = [topic for topic in CATALOGUE if not names or topic.name in names]
        topics = [replace(t, name=f"{settings.topic_prefix}{t.name}") for t in chosen]
        made.extend(topic.name for topic in topics)
        await ensure_topics(settings, topics)
        return settings

    yield make
    await _delete(shared_broker, made)


async def _delete(bootstrap_servers: str, topics: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        await admin.start()
        await admin.delete_topics(topics)
    finally:
        await admin.close()


@pytest.fixture
async def kafka(make_kafka: MakeKafka) -> AsyncIterator[KafkaBus]:
    """A bus on fresh topics of the whole catalogue, two partitions each."""
    bus = KafkaBus(await make_kafka(), client_id="test")
    yield bus
    await bus.close()


@pytest.fixture
def in_memory() -> InMemoryBus:
    """The in-memory bus with the whole catalogue, two partitions each."""
    return InMemoryBus({topic.name: topic.partitions or 2 for topic in CATALOGUE})
