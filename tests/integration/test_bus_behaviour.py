"""The delivery suite on the real broker."""

from collections.abc import AsyncIterator

import pytest

from libs.bus.kafka import KafkaBus
from tests.conftest import MakeKafka
from tests.support.bus_behaviour import BusBehaviour
from tests.support.bus_bench import TOPICS, Bench


@pytest.fixture
async def bench(make_kafka: MakeKafka) -> AsyncIterator[Bench]:
    bus = KafkaBus(await make_kafka(*TOPICS), client_id="test")
    yield Bench(bus)
    await bus.close()


class TestKafkaBus(BusBehaviour):
    pass
