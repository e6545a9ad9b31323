"""Fixtures for all tests: one real broker per session (shared by parallel workers), and topics of a test's own.

A test that asks for `kafka` gets settings whose topic prefix is its own, so tests never see each other's records.
"""

import json
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one file stay in one worker, so that its fixtures are made once; so do those of one stack.

    Whole stacks come last: they stay up until the session ends, and would slow all that runs beside them.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.name))
    items.sort(key=lambda item: "e2e" in item.path.parts)


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
    """Membership in the one broker that the workers of a parallel run share."""

    def __init__(self, root: Path) -> None:
        self._lock = FileLock(root / "kafka.lock")
        self._state = root / "kafka.json"
        self._folder = root / "kafka"

    def __enter__(self) -> str:
        with self._lock:
            state = json.loads(self._state.read_text()) if self._state.exists() else None
            if state is None or state["users"] == 0:
                cluster = Cluster(self._folder).start()
                state = {"servers": cluster.bootstrap_servers, "users": 0}
            self._write({**state, "users": state["users"] + 1})
            return str(state["servers"])

    def __exit__(self, *_: object) -> None:
        with self._lock:
            state = json.loads(self._state.read_text())
            self._write({**state, "users": state["users"] - 1})
            if state["users"] == 1:
                stop_cluster(self._folder)

    def _write(self, state: dict[str, object]) -> None:
        self._state.write_text(json.dumps(state))


def stop_cluster(folder: Path) -> None:
    """Stops the broker whose files lie in the folder, whoever started it."""
    import psutil  # noqa: PLC0415 - only parallel runs need it

    ours = [p for p in psutil.process_iter(["cmdline"]) if any(str(folder) in part for part in p.info["cmdline"] or ())]
    for process in ours:
        process.terminate()
    psutil.wait_procs(ours, timeout=20)


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    """This worker's name in a parallel run, `master` otherwise."""
    return str(getattr(request.config, "workerinput", {}).get("workerid", "master"))


@pytest.fixture
def make_kafka(shared_broker: str) -> MakeKafka:
    """Makes settings with fresh topics on the session's broker: `await make_kafka("prompt-submitted", partitions=2)`.

    Without names, the whole catalogue is created.
    """

    async def make(*names: str, partitions: int = 2) -> BusSettings:
        settings = BusSettings(
            bootstrap_servers=shared_broker, topic_prefix=f"t{uuid.uuid4().hex[:12]}-", topic_partitions=partitions
        )
        chosen = [topic for topic in CATALOGUE if not names or topic.name in names]
        await ensure_topics(settings, [replace(t, name=f"{settings.topic_prefix}{t.name}") for t in chosen])
        return settings

    return make


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
