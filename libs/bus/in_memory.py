"""The log in memory: partitions, groups, rebalances and commits as Kafka has them, for tests of plain logic.

A first-class adapter: it passes the behaviour suite of the real one. Time comes in as a parameter.
"""

import asyncio
import zlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from libs.bus.records import Outgoing, Record, StoredRecord, TopicPartition
from libs.bus.transport import CommitRefused, GroupConsumer, Producer, RebalanceListener
from libs.clock import Clock, utc_now
from schemas.topics import MAX_MESSAGE_BYTES


@dataclass
class _Group:
    members: list["_MemoryConsumer"] = field(default_factory=list)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class InMemoryBus:
    """A log that lives as long as this object. `topics` maps names to partition counts."""

    def __init__(self, topics: Mapping[str, int], *, clock: Clock = utc_now) -> None:
        self._log: dict[TopicPartition, list[StoredRecord]] = {
            TopicPartition(topic, p): [] for topic, count in topics.items() for p in range(count)
        }
        self._counts = dict(topics)
        self._groups: dict[str, _Group] = defaultdict(_Group)
        self._clock = clock
        self._arrived = asyncio.Condition()

    def consumer(
        self, group: str, topics: Collection[str], instance: str | None, linger: timedelta = timedelta(0)
    ) -> GroupConsumer:
        del instance  # static membership spares rebalances over the network; there is none here
        return _MemoryConsumer(self, self._groups[group], tuple(topics))

    async def producer(self) -> Producer:
        return _MemoryProducer(self.append)

    async def append(self, outgoing: Outgoing) -> StoredRecord:
        """Writes one record and wakes whoever waits for it."""
        tp = TopicPartition(outgoing.topic, self._choose(outgoing))
        if tp not in self._log:
            raise LookupError(f"there is no partition {tp.partition} of topic {tp.topic!r}")
        log = self._log[tp]
        now = int(self._clock().timestamp() * 1000)
        record = StoredRecord(tp.topic, tp.partition, len(log), now, outgoing.key, outgoing.value, outgoing.headers)
        log.append(record)
        async with self._arrived:
            self._arrived.notify_all()
        return record

    def _choose(self, outgoing: Outgoing) -> int:
        if outgoing.partition is not None:
            return outgoing.partition
        return zlib.crc32(outgoing.key or b"") % self._counts.get(outgoing.topic, 1)

    def records(self, topic: str) -> list[StoredRecord]:
        """All records of a topic, partition by partition."""
        return [record for p in range(self._counts[topic]) for record in self._log[TopicPartition(topic, p)]]

    async def partitions(self, topic: str) -> tuple[int, ...]:
        if topic not in self._counts:
            raise LookupError(f"the broker has no topic {topic!r}; create the topics first (tailrace up does)")
        return tuple(range(self._counts[topic]))

    async def start_offsets(self, topic: str) -> Mapping[int, int]:
        return dict.fromkeys(await self.partitions(topic), 0)

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        return {p: len(self._log[TopicPartition(topic, p)]) for p in await self.partitions(topic)}

    async def read(
        self,
        topic: str,
        partition: int,
        *,
        start: int | None = None,
        since_ms: int | None = None,
        end: int | None = None,
    ) -> AsyncGenerator[Record, None]:
        log = self._log[TopicPartition(topic, partition)]
        for record in log[start or 0 : len(log) if end is None else end]:
            if since_ms is None or record.timestamp >= since_ms:
                yield record

    async def follow(self, topic: str, starts: Mapping[int, int]) -> AsyncGenerator[Sequence[Record], None]:
        positions = dict(starts)
        while True:
            found = [
                record
                for p, start in sorted(positions.items())
                for record in self._log[TopicPartition(topic, p)][start:]
            ]
            for record in found:
                positions[record.partition] = record.offset + 1
            yield found
            if not found:
                await self.arrival(0.2)

    async def arrival(self, timeout_seconds: float) -> None:
        """Returns when a record has come, or after the time-out."""
        try:
            async with asyncio.timeout(timeout_seconds), self._arrived:
                await self._arrived.wait()
        except TimeoutError:
            return

    async def reachable(self) -> bool:
        return True

    async def close(self) -> None:
        return None

    def partitions_of(self, topics: Collection[str]) -> list[TopicPartition]:
        """Every partition of these topics."""
        return [TopicPartition(topic, p) for topic in topics for p in range(self._counts[topic])]

    def log(self, tp: TopicPartition) -> Sequence[StoredRecord]:
        """One partition's records."""
        return self._log[tp]


class _MemoryProducer:
    def __init__(self, append: Callable[[Outgoing], Awaitable[StoredRecord]]) -> None:
        self._append = append

    async def send(self, outgoing: Outgoing) -> "asyncio.Future[object]":
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        future.set_result(await self._append(outgoing))
        return future

    async def flush(self) -> None:
        return None

    async def stop(self) -> None:
        return None


class _MemoryConsumer:
    """A group member; eager rebalances, range assignment, as the real one is configured."""

    def __init__(self, bus: InMemoryBus, group: _Group, topics: tuple[str, ...]) -> None:
        self._bus = bus
        self._group = group
        self._topics = topics
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._listener: RebalanceListener | None = None

    async def start(self, listener: RebalanceListener) -> None:
        self._listener = listener
        self._group.members.append(self)
        await self._rebalance()

    async def stop(self) -> None:
        if self not in self._group.members:
            return
        self._group.members.remove(self)
        self._positions.clear()
        await self._rebalance()

    async def _rebalance(self) -> None:
        async with self._group.lock:
            members = list(self._group.members)
            for member in members:
                await member.give_up()
            for index, member in enumerate(members):
                await member.take(self._share(index, len(members)))

    def _share(self, index: int, members: int) -> list[TopicPartition]:
        share = []
        for topic in self._topics:
            partitions = self._bus.partitions_of([topic])
            size, rest = divmod(len(partitions), members)
            first = index * size + min(index, rest)
            share += partitions[first : first + size + (index < rest)]
        return share

    async def give_up(self) -> None:
        """Everything is revoked before it is handed out anew."""
        revoked = list(self._positions)
        if self._listener is not None and revoked:
            await self._listener.on_revoked(revoked)
        self._positions.clear()
        self._paused.clear()

    async def take(self, partitions: list[TopicPartition]) -> None:
        """Starts at the committed offsets, or at the beginning."""
        self._positions = {tp: self._group.committed.get(tp, 0) for tp in partitions}
        if self._listener is not None:
            await self._listener.on_assigned(partitions)

    async def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        found = self._take_ready(max_records)
        if not found:
            await self._bus.arrival(timeout_seconds)
            found = self._take_ready(max_records)
        return found

    def _take_ready(self, max_records: int) -> list[Record]:
        found: list[Record] = []
        for tp, position in self._positions.items():
            if tp in self._paused:
                continue
            records = _fetched(self._bus.log(tp)[position : position + max_records - len(found)])
            self._positions[tp] = position + len(records)
            found.extend(records)
        return found

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if not offsets.keys() <= self._positions.keys():
            raise CommitRefused("a partition is no longer this member's")
        self._group.committed.update(offsets)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        self._paused.difference_update(partitions)


def _fetched(records: Sequence[StoredRecord]) -> Sequence[StoredRecord]:
    """As many as one fetch brings of one partition: the first, and what fits beside it."""
    size = 0
    for count, record in enumerate(records):
        size += len(record.value or b"")
        if count and size > MAX_MESSAGE_BYTES:
            return records[:count]
    return records
