"""One broker to be harmed, one family of services on it, one seed."""

import os
import random
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from infra.kafka import Cluster
from libs.bus.kafka import KafkaBus
from tests.support.faults.crowd import Crowd
from tests.support.faults.family import Family, family

LONG = bool(os.environ.get("TAILRACE_FAULTS_LONG"))
collect_ignore_glob = [] if LONG else ["test_long_*"]
SEED = int(os.environ.get("TAILRACE_FAULTS_SEED", "4"))


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """The test's own randomness; a failure shows how to have it again."""
    print(f"repeat with TAILRACE_FAULTS_SEED={SEED}")
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Tells whoever waits how far a long test has come."""
    capture = request.config.pluginmanager.get_plugin("capturemanager")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():  # type: ignore[union-attr]
            print(line, flush=True)

    return write


@pytest.fixture(scope="session")
def harmed_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A broker of these tests' own."""
    with Cluster(tmp_path_factory.mktemp("harmed"), die_with_parent=True) as cluster:
        yield cluster


@pytest.fixture(scope="session")
async def services(harmed_broker: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Family]:
    """All stages, each in a process of its own."""
    async with family(tmp_path_factory.mktemp("family"), harmed_broker) as made:
        yield made


@pytest.fixture(scope="session")
async def log(services: Family) -> AsyncIterator[KafkaBus]:
    """The test's own look at the log."""
    bus = KafkaBus(services.settings, client_id="crowd")
    yield bus
    await bus.close()


@pytest.fixture
def crowd(log: KafkaBus, services: Family, chance: random.Random) -> Crowd:
    """Upstreams."""
    return Crowd(log, services.settings, chance)
