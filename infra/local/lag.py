"""How far each service is behind: records on the topics it reads that its consumer group has not finished yet."""

import asyncio
from collections.abc import Iterable, Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)
from aiokafka.structs import TopicPartition

from libs.bus.kafka import connection
from libs.settings import BusSettings
from schemas.topics import CATALOGUE, Topic

COORDINATOR_PATIENCE = 5.0
WITHOUT_GROUP = frozenset({"gateway"})
"""The gateway reads its own partition of `reply` and commits nothing, so it has no lag."""


async def consumer_lag(
    settings: BusSettings, services: Iterable[str], catalogue: Sequence[Topic] = CATALOGUE
) -> dict[str, int | None]:
    """Records per service; None where a service has no group. Raises KafkaError or TimeoutError when no broker answers."""
    options = connection(settings)
    admin = AIOKafkaAdminClient(**options, request_timeout_ms=5_000)
    consumer = AIOKafkaConsumer(**options, request_timeout_ms=5_000)
    try:
        await admin.start()
        await consumer.start()
        return {service: await _lag(admin, consumer, service, catalogue) for service in services}
    finally:
        await consumer.stop()
        await admin.close()


async def _lag(
    admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer, service: str, catalogue: Sequence[Topic]
) -> int | None:
    if service in WITHOUT_GROUP:
        return None
    finished = await _finished(admin, f"tailrace-{service}")
    topics = {partition.topic for partition in finished} | _inputs(service, catalogue)
    partitions = [
        TopicPartition(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic) or ()
    ]
    ends = await consumer.end_offsets(partitions)
    begins = await consumer.beginning_offsets(partitions)
    # Retention may have removed what was never finished: that is no longer behind but gone.
    return int(sum(ends[p] - max(finished.get(p, 0), begins[p]) for p in partitions))


async def _finished(admin: AIOKafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    """The group's committed offsets. A broker that has just started needs a moment before it coordinates groups."""
    async with asyncio.timeout(COORDINATOR_PATIENCE):
        while True:
            try:
                offsets = await admin.list_consumer_group_offsets(group)
                return {partition: at.offset for partition, at in offsets.items() if at.offset >= 0}
            except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError):
                await asyncio.sleep(0.05)


def _inputs(service: str, catalogue: Sequence[Topic]) -> set[str]:
    """What the group reads. Compacted topics and outcomes are views, read by each instance for itself."""
    return {
        topic.name
        for topic in catalogue
        if service in topic.consumers and not topic.compacted and topic.access != "public-output"
    }
