"""Ways to take a topic of prompts to a topic of answers: our stage, a plain aiokafka loop, one at a time, FastStream.

All consume, validate with the same pydantic model, handle, publish with acks=all and idempotence, and commit; they
differ in what they promise. Each starts at the beginning of the topic in a group of its own and runs until it is
cancelled. Knows no clock.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaResponse

from libs.bus import Stage
from libs.bus.kafka import KafkaBus
from libs.telemetry import Metrics, TelemetryObserver, Traces
from schemas.prompts import PromptRefused, PromptRepeated
from tests.support.bus_bench import on

BATCH = 500
_BATCH_BYTES = 256 * 1024
_FETCH_BYTES = 4 * 1024 * 1024

Sync = Callable[[PromptRefused], PromptRepeated]
Async = Callable[[PromptRefused], Awaitable[PromptRepeated]]


async def our_stage(bus: KafkaBus, group: str, metrics: Metrics, handler: Sync | Async) -> None:
    """In order per key, at least once, deterministic ids, retries, dead letters, telemetry as in a service."""
    stage = Stage(group, bus, [on(handler)], observer=TelemetryObserver(group, metrics, Traces(None)))
    running = asyncio.create_task(stage.run())
    try:
        await asyncio.shield(running)
    finally:
        stage.stop()
        await running


async def plain_loop(servers: str, group: str, handler: Sync) -> None:
    """Publishes and commits batch by batch: no ids, headers, retries, dead letters; any failure ends it."""
    async with _consumer(servers, group) as consumer, _producer(servers) as producer:
        while True:
            for records in (await consumer.getmany(timeout_ms=500, max_records=BATCH)).values():
                futures = []
                for record in records:
                    event = handler(PromptRefused.model_validate_json(record.value))
                    futures.append(await _publish(producer, event, record))
                await asyncio.gather(*futures)
                await consumer.commit()


async def one_at_a_time(servers: str, group: str, handler: Async) -> None:
    """As the plain loop, but the handler may wait and the next record waits with it."""
    async with _consumer(servers, group) as consumer, _producer(servers) as producer:
        while True:
            for records in (await consumer.getmany(timeout_ms=500, max_records=BATCH)).values():
                futures = []
                for record in records:
                    event = await handler(PromptRefused.model_validate_json(record.value))
                    futures.append(await _publish(producer, event, record))
                await asyncio.gather(*futures)
                await consumer.commit()


async def faststream(servers: str, group: str, handler: Sync) -> None:
    """FastStream's at-least-once subscriber: publishes and commits message by message."""
    broker = KafkaBroker(
        servers, acks="all", enable_idempotence=True, max_batch_size=_BATCH_BYTES, max_request_size=_FETCH_BYTES,
        logger=None,
    )  # fmt: skip
    subscriber = broker.subscriber(
        PromptRefused.TYPE, group_id=group, auto_offset_reset="earliest", ack_policy=AckPolicy.ACK,
        fetch_max_wait_ms=20, max_partition_fetch_bytes=_FETCH_BYTES,
    )  # fmt: skip

    @subscriber
    @broker.publisher(PromptRepeated.TYPE)
    async def handle(event: PromptRefused) -> Any:
        answer = handler(event)
        return KafkaResponse(answer, key=answer.key.encode())

    async with broker:
        await broker.start()
        await asyncio.Event().wait()


def _consumer(servers: str, group: str) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        PromptRefused.TYPE,
        bootstrap_servers=servers,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=20,
        max_partition_fetch_bytes=_FETCH_BYTES,
    )


def _producer(servers: str) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True, max_batch_size=_BATCH_BYTES)


async def _publish(producer: AIOKafkaProducer, event: PromptRepeated, record: Any) -> "asyncio.Future[object]":
    body = event.__pydantic_serializer__.to_json(event)
    sent: asyncio.Future[object] = await producer.send(PromptRepeated.TYPE, body, record.key, record.partition)
    return sent
