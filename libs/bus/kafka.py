"""The log on a real Kafka cluster, through aiokafka.

Choices, with their reasons: acks=all and idempotence, because the defaults lose writes; 256 KB batches, because one
request per broker is in flight and throughput is batch size by round trip; fetch waits of 100 ms, because a partition
that waits for a full one delays its neighbours, while shorter ones keep an idle broker busy. Knows bytes and offsets,
not events.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Collection, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, RebalanceInProgressError

from libs.bus._tolerant import tolerate_header_names
from libs.bus.records import Outgoing, Record, TopicPartition
from libs.bus.transport import CommitRefused, GroupConsumer, Producer, RebalanceListener
from libs.settings import BusSettings
from schemas.topics import MAX_MESSAGE_BYTES

_ROOM_FOR_HEADERS = 64 * 1024
_FETCH_WAIT_MS = 100
_LINGER_BYTES = 256 * 1024
"""Who lingers has enough with so many: a flood is read as fast as ever."""
_CLOSING_SECONDS = 5.0


def connection(settings: BusSettings) -> dict[str, Any]:
    """aiokafka's connection arguments. Raises ValueError where SASL lacks its user name or password."""
    found: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        found["ssl_context"] = ssl.create_default_context(
            cafile=str(settings.ssl_cafile) if settings.ssl_cafile else None
        )
    if settings.security_protocol.startswith("SASL"):
        if not (settings.sasl_username and settings.sasl_password):
            raise ValueError("SASL needs TAILRACE_SASL_USERNAME and TAILRACE_SASL_PASSWORD")
        found["sasl_mechanism"] = settings.sasl_mechanism
        found["sasl_plain_username"] = settings.sasl_username
        found["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    return found


class KafkaBus:
    """A Kafka cluster as the services see it. Opens connections when they are needed."""

    def __init__(self, settings: BusSettings, *, client_id: str) -> None:
        tolerate_header_names()
        self._connection = {**connection(settings), "client_id": client_id}
        self._names = _Names(settings.topic_prefix)
        self._readers: set[AIOKafkaConsumer] = set()
        self._probe: AIOKafkaConsumer | None = None
        self._probe_lock = asyncio.Lock()

    def consumer(
        self, group: str, topics: Collection[str], instance: str | None, linger: timedelta = timedelta(0)
    ) -> GroupConsumer:
        return _KafkaGroupConsumer(
            {**self._connection, **_fetching(linger)}, self._names, group, tuple(topics), instance
        )

    async def producer(self) -> Producer:
        producer = AIOKafkaProducer(
            **self._connection,
            acks="all",
            enable_idempotence=True,
            max_batch_size=256 * 1024,
            linger_ms=0,
            max_request_size=MAX_MESSAGE_BYTES + _ROOM_FOR_HEADERS,
        )
        try:
            await producer.start()
        except BaseException:
            # aiokafka leaves its sockets open when its start fails.
            await _ended(producer.stop())
            raise
        return _KafkaProducer(producer, self._names)

    async def partitions(self, topic: str) -> tuple[int, ...]:
        probe = await self._metadata()
        # Asked anew: what the client holds shrinks to the topics whose leader it once had to look for.
        client = probe._client  # noqa: SLF001 - aiokafka offers no public refresh
        try:
            cluster = await client.fetch_all_metadata()
        except KafkaError:
            await self._forget_if_lost(probe)
            # No broker answers just now: what is known will do.
            cluster = client.cluster
        found = cluster.partitions_for_topic(self._names.outside(topic))
        if not found:
            raise LookupError(f"the broker has no topic {topic!r}; create the topics first (tailrace up does)")
        return tuple(sorted(found))

    async def start_offsets(self, topic: str) -> Mapping[int, int]:
        probe = await self._metadata()
        name = self._names.outside(topic)
        starts = await probe.beginning_offsets([KafkaPartition(name, p) for p in await self.partitions(topic)])
        return {tp.partition: offset for tp, offset in starts.items()}

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        probe = await self._metadata()
        name = self._names.outside(topic)
        ends = await probe.end_offsets([KafkaPartition(name, p) for p in await self.partitions(topic)])
        return {tp.partition: offset for tp, offset in ends.items()}

    async def reachable(self) -> bool:
        try:
            probe = await self._metadata()
            found = bool(await probe._client.force_metadata_update())  # noqa: SLF001
            if not found:
                await self._forget_if_lost(probe)
        except (KafkaError, OSError):
            return False
        return found

    async def read(
        self,
        topic: str,
        partition: int,
        *,
        start: int | None = None,
        since_ms: int | None = None,
        end: int | None = None,
    ) -> AsyncGenerator[Record, None]:
        tp = KafkaPartition(self._names.outside(topic), partition)
        begin, stop = await _bounds(await self._metadata(), tp, start, since_ms, end)
        if begin >= stop:
            # Nothing to read is the common case at a start; it is not worth a connection of its own.
            return
        consumer = await self._reader([tp])
        try:
            consumer.seek(tp, begin)
            while begin < stop:
                batch = (await consumer.getmany(tp, timeout_ms=1000, max_records=1000)).get(tp, ())
                for record in batch:
                    if record.offset >= stop:
                        return
                    yield self._names.inside(record)
                begin = await consumer.position(tp)
        finally:
            await self._close_reader(consumer)

    async def follow(self, topic: str, starts: Mapping[int, int]) -> AsyncGenerator[Sequence[Record], None]:
        tps = [KafkaPartition(self._names.outside(topic), partition) for partition in sorted(starts)]
        consumer = await self._reader(tps)
        try:
            for tp in tps:
                consumer.seek(tp, starts[tp.partition])
            while True:
                found = await consumer.getmany(timeout_ms=200, max_records=500)
                yield [self._names.inside(record) for records in found.values() for record in records]
        finally:
            await self._close_reader(consumer)

    async def close(self) -> None:
        for consumer in [*self._readers, *([self._probe] if self._probe else [])]:
            await _stopped(consumer)
        self._readers.clear()
        self._probe = None

    async def _metadata(self) -> AIOKafkaConsumer:
        async with self._probe_lock:
            if self._probe is None:
                probe = AIOKafkaConsumer(**self._connection)
                await _started(probe)
                self._probe = probe
            return self._probe

    async def _forget_if_lost(self, probe: AIOKafkaConsumer) -> None:
        """A client that met a broker which knew of no broker yet, as at its start, asks nobody any more, for ever."""
        if probe._client.cluster.brokers():  # noqa: SLF001
            return
        if self._probe is probe:
            self._probe = None
            await _stopped(probe)

    async def _reader(self, partitions: list[KafkaPartition]) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._connection,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES + _ROOM_FOR_HEADERS,
        )
        consumer.assign(partitions)
        await _started(consumer)
        self._readers.add(consumer)
        return consumer

    async def _close_reader(self, consumer: AIOKafkaConsumer) -> None:
        if consumer in self._readers:
            self._readers.discard(consumer)
            await _stopped(consumer)


async def _started(consumer: AIOKafkaConsumer) -> None:
    starting = asyncio.create_task(consumer.start())
    try:
        await asyncio.shield(starting)
    except BaseException:
        # aiokafka leaves sockets open when its start fails, and more of them when it is cancelled on the way.
        await asyncio.wait([starting], timeout=_CLOSING_SECONDS)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await _stopped(consumer)
        raise


async def _stopped(consumer: AIOKafkaConsumer) -> None:
    if not await _ended(consumer.stop()):
        # The broker is away, or the group is in the middle of a rebalance.
        await _ended(consumer._client.close())  # noqa: SLF001


async def _ended(closing: Coroutine[Any, Any, None]) -> bool:
    """Gives a client time to close; whether it did. While the broker is away, cancellations of its own escape it."""
    task = asyncio.create_task(closing)
    await asyncio.wait([task], timeout=_CLOSING_SECONDS)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CLOSING_SECONDS)
    return task.done() and not task.cancelled() and task.exception() is None


async def _bounds(
    consumer: AIOKafkaConsumer, tp: KafkaPartition, start: int | None, since_ms: int | None, end: int | None
) -> tuple[int, int]:
    first: int = (await consumer.beginning_offsets([tp]))[tp]
    last: int = (await consumer.end_offsets([tp]))[tp]
    stop = last if end is None else min(end, last)
    if start is not None:
        return max(start, first), stop
    if since_ms is None:
        return first, stop
    found = (await consumer.offsets_for_times({tp: since_ms}))[tp]
    return (found.offset if found is not None else last), stop


class _Names:
    """Topic and group names as the cluster has them, and back."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def outside(self, name: str) -> str:
        return self._prefix + name

    def inside(self, record: Any) -> Record:
        if not self._prefix:
            return cast("Record", record)
        return cast("Record", replace(record, topic=record.topic.removeprefix(self._prefix)))

    def partition(self, tp: KafkaPartition) -> TopicPartition:
        return TopicPartition(tp.topic.removeprefix(self._prefix), tp.partition)

    def kafka(self, tp: TopicPartition) -> KafkaPartition:
        return KafkaPartition(self._prefix + tp.topic, tp.partition)


class _KafkaProducer:
    def __init__(self, producer: AIOKafkaProducer, names: _Names) -> None:
        self._producer = producer
        self._names = names

    async def send(self, outgoing: Outgoing) -> "asyncio.Future[object]":
        try:
            future: asyncio.Future[object] = await self._producer.send(
                self._names.outside(outgoing.topic),
                value=outgoing.value,
                key=outgoing.key,
                partition=outgoing.partition,
                headers=list(outgoing.headers),
            )
        except AssertionError as error:
            # How aiokafka refuses an unknown partition.
            raise LookupError(f"topic {outgoing.topic!r} has no partition {outgoing.partition}") from error
        return future

    async def flush(self) -> None:
        await self._producer.flush()

    async def stop(self) -> None:
        if not await _ended(self._producer.stop()):
            # The broker is away, and an idempotent producer would wait for it for ever.
            await _ended(self._producer._sender.close())  # noqa: SLF001
            await _ended(self._producer.client.close())


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, listener: RebalanceListener, names: _Names) -> None:
        self._listener = listener
        self._names = names

    async def on_partitions_revoked(self, revoked: Collection[KafkaPartition]) -> None:
        await self._listener.on_revoked([self._names.partition(tp) for tp in revoked])

    async def on_partitions_assigned(self, assigned: Collection[KafkaPartition]) -> None:
        await self._listener.on_assigned([self._names.partition(tp) for tp in assigned])


def _fetching(linger: timedelta) -> dict[str, int]:
    """How long a fetch waits at the broker, and for how many bytes."""
    wait = max(_FETCH_WAIT_MS, int(linger.total_seconds() * 1000))
    return {"fetch_max_wait_ms": wait, "fetch_min_bytes": _LINGER_BYTES if linger else 1}


class _KafkaGroupConsumer:
    def __init__(
        self, arguments: dict[str, Any], names: _Names, group: str, topics: tuple[str, ...], instance: str | None
    ) -> None:
        self._arguments = arguments
        self._names = names
        self._group = names.outside(group)
        self._topics = [names.outside(topic) for topic in topics]
        self._instance = instance
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self, listener: RebalanceListener) -> None:
        self._consumer = AIOKafkaConsumer(
            **self._arguments,
            group_id=self._group,
            group_instance_id=self._instance,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # The range assignor keeps a conversation's partitions of all topics in one instance.
            partition_assignment_strategy=(RangePartitionAssignor,),
            max_partition_fetch_bytes=MAX_MESSAGE_BYTES + _ROOM_FOR_HEADERS,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=2_000,
            # Polling never waits for handlers, so a long generation cannot overstep this.
            max_poll_interval_ms=300_000,
        )
        self._consumer.subscribe(topics=self._topics, listener=_Listener(listener, self._names))
        await _started(self._consumer)

    async def stop(self) -> None:
        if self._consumer is not None:
            await _stopped(self._consumer)

    async def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        assert self._consumer is not None, "start the consumer first"
        found = await self._consumer.getmany(timeout_ms=int(timeout_seconds * 1000), max_records=max_records)
        return [self._names.inside(record) for records in found.values() for record in records]

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        assert self._consumer is not None, "start the consumer first"
        try:
            await self._consumer.commit({self._names.kafka(tp): offset for tp, offset in offsets.items()})
        except (CommitFailedError, IllegalStateError, RebalanceInProgressError) as error:
            raise CommitRefused(str(error)) from error

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        assert self._consumer is not None, "start the consumer first"
        with contextlib.suppress(IllegalStateError):
            self._consumer.pause(*(self._names.kafka(tp) for tp in partitions))

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        assert self._consumer is not None, "start the consumer first"
        with contextlib.suppress(IllegalStateError):
            self._consumer.resume(*(self._names.kafka(tp) for tp in partitions))
