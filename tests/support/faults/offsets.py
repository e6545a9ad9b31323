"""Puts consumer groups back to the beginning of everything they read, as an operator does who wants it done again."""

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError

from libs.bus.kafka import connection
from libs.settings import BusSettings


async def rewind(settings: BusSettings, services: Iterable[str]) -> None:
    """The members must be gone; the broker believes it when their sessions have ended."""
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        for service in services:
            group = f"{settings.topic_prefix}tailrace-{service}"
            known = await admin.list_consumer_group_offsets(group)
            consumer = AIOKafkaConsumer(**connection(settings), group_id=group, enable_auto_commit=False)
            consumer.assign(list(known))
            await consumer.start()
            try:
                await _committed(consumer, dict.fromkeys(known, 0))
            finally:
                await consumer.stop()
    finally:
        await admin.close()


async def _committed(consumer: AIOKafkaConsumer, offsets: dict[TopicPartition, int]) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await consumer.commit(offsets)
            except CommitFailedError:
                await asyncio.sleep(0.5)
            else:
                return
