"""What the services' groups have committed, read from the broker without joining any of them."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from libs.audit._path import EVENT_TOPICS, READERS
from libs.bus.kafka import connection
from libs.settings import BusSettings

_PATIENCE_SECONDS = 5.0


async def kafka_commits(settings: BusSettings) -> dict[tuple[str, int], int] | None:
    """Of each partition of the path, the offset its reader has committed. None: the broker has, or tells, none."""
    admin = AIOKafkaAdminClient(**connection(settings), request_timeout_ms=5_000)
    try:
        await admin.start()
        found: dict[tuple[str, int], int] = {}
        for service in sorted(set(READERS.values())):
            found |= await _of_group(admin, settings.topic_prefix, service)
    except (KafkaError, TimeoutError):
        return None
    else:
        return found or None
    finally:
        await admin.close()


async def _of_group(admin: AIOKafkaAdminClient, prefix: str, service: str) -> dict[tuple[str, int], int]:
    offsets = await _asked(admin, f"{prefix}tailrace-{service}")
    own = {prefix + topic: topic for topic in EVENT_TOPICS if READERS[topic] == service}
    return {
        (own[tp.topic], tp.partition): at.offset for tp, at in offsets.items() if tp.topic in own and at.offset >= 0
    }


async def _asked(admin: AIOKafkaAdminClient, group: str) -> dict:  # type: ignore[type-arg]
    """A broker that has just started needs a moment before it coordinates groups."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            try:
                return dict(await admin.list_consumer_group_offsets(group))
            except KafkaError as error:
                if not error.retriable:
                    raise
                await asyncio.sleep(0.05)
