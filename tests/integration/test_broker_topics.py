"""Topics from the catalogue on the real broker: created once, differences reported, nothing changed in silence."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest

from infra.kafka import Difference, TopicsError, compare_topics, ensure_topics
from libs.settings import BusSettings
from schemas.topics import CATALOGUE, Topic

pytestmark = pytest.mark.broker


@pytest.fixture
def catalogue() -> list[Topic]:
    """The whole catalogue under names of this test's own."""
    prefix = uuid.uuid4().hex
    return [replace(topic, name=f"{prefix}-{topic.name}") for topic in CATALOGUE]


def names(topics: Sequence[Topic]) -> set[str]:
    return {topic.name for topic in topics}


async def test_the_whole_catalogue_is_created_as_it_says(bus_settings: BusSettings, catalogue: list[Topic]) -> None:
    report = await ensure_topics(bus_settings, catalogue)
    assert set(report.created) == names(catalogue)
    assert (await compare_topics(bus_settings, catalogue)).in_order


async def test_a_second_time_creates_nothing_and_finds_nothing_different(
    bus_settings: BusSettings, catalogue: list[Topic]
) -> None:
    await ensure_topics(bus_settings, catalogue)
    again = await ensure_topics(bus_settings, catalogue)
    assert again.created == ()
    assert again.in_order


async def test_two_at_once_share_the_work_without_an_error(bus_settings: BusSettings, catalogue: list[Topic]) -> None:
    reports = await asyncio.gather(*(ensure_topics(bus_settings, catalogue) for _ in range(2)))
    created = [name for report in reports for name in report.created]
    assert sorted(created) == sorted(names(catalogue))
    assert all(report.in_order for report in reports)


async def test_differences_are_reported_and_left_as_they_are(bus_settings: BusSettings) -> None:
    topic = Topic(f"t-{uuid.uuid4().hex}", None, (), (), "of one test", partitions=2, retention_ms=60_000)
    await ensure_topics(bus_settings, [topic])
    other = replace(topic, partitions=3, retention_ms=90_000)
    expected = (
        Difference(topic.name, "partitions", "3", "2"),
        Difference(topic.name, "retention.ms", "90000", "60000"),
    )
    assert (await ensure_topics(bus_settings, [other])).different == expected
    assert (await ensure_topics(bus_settings, [topic])).in_order


async def test_comparing_names_what_is_missing_and_creates_nothing(
    bus_settings: BusSettings, catalogue: list[Topic]
) -> None:
    for _ in range(2):
        report = await compare_topics(bus_settings, catalogue)
        assert set(report.missing) == names(catalogue)
        assert not report.in_order


async def test_what_the_broker_refuses_is_named_with_its_reason(bus_settings: BusSettings) -> None:
    topic = Topic("not a name", None, (), (), "of one test")
    with pytest.raises(TopicsError, match="not a name: Topic name is invalid"):
        await ensure_topics(bus_settings, [topic])
    replicated = Topic(f"t-{uuid.uuid4().hex}", None, (), (), "of one test")
    with pytest.raises(TopicsError, match="replication factor"):
        await ensure_topics(bus_settings.model_copy(update={"replication_factor": 3}), [replicated])
