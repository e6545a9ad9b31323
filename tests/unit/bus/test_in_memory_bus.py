"""The in-memory bus passes the suite of the real one."""

import pytest

from libs.bus import InMemoryBus
from tests.support.bus_behaviour import BusBehaviour
from tests.support.bus_bench import Bench


@pytest.fixture
def bench(in_memory: InMemoryBus) -> Bench:
    return Bench(in_memory)


class TestInMemoryBus(BusBehaviour):
    pass
