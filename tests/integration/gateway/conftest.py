"""A gateway on the real broker, with the small pipeline behind it."""

from collections.abc import AsyncIterator

import pytest

from libs.bus.kafka import KafkaBus
from tests.conftest import MakeKafka
from tests.unit.gateway.parts import TOPICS, Pipeline, answering


@pytest.fixture
async def kafka(make_kafka: MakeKafka) -> AsyncIterator[KafkaBus]:
    """Only the topics that a gateway and the small pipeline need."""
    bus = KafkaBus(await make_kafka(*TOPICS), client_id="test")
    yield bus
    await bus.close()


@pytest.fixture
async def pipeline(kafka: KafkaBus) -> AsyncIterator[Pipeline]:
    """What answers behind the gateway."""
    async with answering(kafka) as pipeline:
        yield pipeline
