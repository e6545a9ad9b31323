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
    """Records per service; None where it has no group. Raises KafkaError or TimeoutError when no broker answers."""
    options = connection(settings)
    services = tuple(services)
    admin = AIOKafkaAdminClient(**options, request_timeout_ms=5_000)
    # It learns of the topics one by one, with this pause between two of them.
    consumer = AIOKafkaConsumer(**options, request_timeout_ms=5_000, retry_backoff_ms=2)
    try:
        await admin.start()
        await consumer.start()
        grouped = [service for service in services if service not in WITHOUT_GROUP]
        finished = {service: await _finished(admin, f"tailrace-{service}") for service in grouped}
        read = {service: await _partitions(admin, service, finished[service], catalogue) for service in grouped}
        every = sorted({partition for partitions in read.values() for partition in partitions})
        ends, begins = await consumer.end_offsets(every), await consumer.beginning_offsets(every)
    finally:
        await consumer.stop()
        await admin.close()
    # Retention may have removed what was never finished: that is no longer behind but gone.
    lags = {s: sum(ends[p] - max(finished[s].get(p, 0), begins[p]) for p in read[s]) for s in grouped}
    return {service: lags.get(service) for service in services}


async def _partitions(
    admin: AIOKafkaAdminClient, service: str, finished: Iterable[TopicPartition], catalogue: Sequence[Topic]
) -> list[TopicPartition]:
    topics = {partition.topic for partition in finished} | _inputs(service, catalogue)
    described = await admin.describe_topics(sorted(topics)) if topics else []
    return [TopicPartition(t["topic"], p["partition"]) for t in described for p in t["partitions"]]


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
