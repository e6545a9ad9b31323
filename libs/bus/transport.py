"""The ports between delivery and a log: a consumer in a group, a producer, and readers without a group.

Two adapters: `libs.bus.kafka` (aiokafka) and `libs.bus.in_memory`. Both pass one behaviour suite.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from libs.bus.records import Outgoing, Record, TopicPartition


class RebalanceListener(Protocol):
    """Told when partitions come and go. Both calls are awaited before the group goes on."""

    async def on_revoked(self, partitions: Collection[TopicPartition]) -> None: ...
    async def on_assigned(self, partitions: Collection[TopicPartition]) -> None: ...


class GroupConsumer(Protocol):
    """A member of a consumer group."""

    async def start(self, listener: RebalanceListener) -> None: ...

    async def stop(self) -> None:
        """Leaves the group. Gives up after a few seconds without an answer."""

    async def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Record]:
        """The next records in offset order per partition; empty after the time-out."""

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Raises CommitRefused if the group has moved on; the work will be done again by its new owner."""

    def pause(self, partitions: Collection[TopicPartition]) -> None: ...
    def resume(self, partitions: Collection[TopicPartition]) -> None: ...


class Producer(Protocol):
    """Writes records; per partition, in the order of the calls."""

    async def send(self, outgoing: Outgoing) -> "asyncio.Future[object]":
        """Hands the record over; the future is done when all in-sync replicas have it.

        Raises LookupError where the topic has no such partition.
        """

    async def flush(self) -> None:
        """Waits until the log has all that was sent."""

    async def stop(self) -> None:
        """Waits for what is under way, then closes. Gives up after a few seconds without an answer."""


class Bus(Protocol):
    """One log, reached by all services."""

    def consumer(
        self, group: str, topics: Collection[str], instance: str | None, linger: timedelta = timedelta(0)
    ) -> GroupConsumer:
        """A member not yet started. `instance` makes membership static, so that a restart does not rebalance.

        So long (`linger`) a record may wait for others to come with it.
        """

    async def producer(self) -> Producer: ...

    async def partitions(self, topic: str) -> tuple[int, ...]: ...

    def read(
        self,
        topic: str,
        partition: int,
        *,
        start: int | None = None,
        since_ms: int | None = None,
        end: int | None = None,
    ) -> AsyncGenerator[Record, None]:
        """The partition's records from `start` (an offset), or `since_ms` (a time), or its beginning.

        Ends before the offset `end`, or, where that is None, at the end the partition has now.
        """

    def follow(self, topic: str, starts: Mapping[int, int]) -> AsyncGenerator[Sequence[Record], None]:
        """All records of the topic from each given offset on, for ever; an empty batch when there is none yet."""

    async def start_offsets(self, topic: str) -> Mapping[int, int]:
        """Of each partition, the oldest offset that retention has left."""

    async def end_offsets(self, topic: str) -> Mapping[int, int]: ...

    async def reachable(self) -> bool: ...

    async def close(self) -> None: ...


class CommitRefused(Exception):  # noqa: N818
    """The group rebalanced before the commit came."""
