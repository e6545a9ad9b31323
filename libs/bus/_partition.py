"""What a stage knows of one partition it owns."""

import asyncio
from collections import deque

from libs.bus.breaker import FailureGauge
from libs.bus.offsets import OffsetTracker
from libs.bus.records import Record, TopicPartition

HELD_RECORDS = 1000
HELD_BYTES = 16 * 1024 * 1024


class Partition:
    """Fetched records that wait for room, offsets in flight, and how well it goes.

    One object stands for one time of ownership: a partition that is lost and comes back is another object.
    """

    __slots__ = ("committed", "gauge", "held", "held_bytes", "lost", "paused", "ready", "settled", "tp", "tracker")

    def __init__(self, tp: TopicPartition) -> None:
        self.tp = tp
        self.tracker = OffsetTracker()
        self.gauge = FailureGauge()
        self.held: deque[Record] = deque()
        self.held_bytes = 0
        self.ready = False
        self.paused = False
        self.lost = False
        self.settled = asyncio.Event()
        """Cleared while a rebalance decides whose this is: nothing may be written meanwhile."""
        self.settled.set()
        self.committed: int | None = None

    @property
    def uncommitted(self) -> int | None:
        """The offset to commit, if it has moved since the last commit."""
        offset = self.tracker.committable
        return offset if offset != self.committed else None

    def hold(self, record: Record) -> None:
        """Keeps a fetched record until there is room."""
        self.held.append(record)
        self.held_bytes += len(record.value or b"")

    def take_held(self) -> Record:
        """The oldest held record."""
        record = self.held.popleft()
        self.held_bytes -= len(record.value or b"")
        return record

    def drop_held(self) -> None:
        """Forgets what waits; it will be fetched again."""
        self.held.clear()
        self.held_bytes = 0

    @property
    def full(self) -> bool:
        """Whether fetching should pause."""
        return len(self.held) >= HELD_RECORDS or self.held_bytes >= HELD_BYTES

    @property
    def low(self) -> bool:
        """Whether fetching may go on."""
        return len(self.held) <= HELD_RECORDS // 5 and self.held_bytes <= HELD_BYTES // 5

    def revoke(self) -> None:
        """The group rebalances."""
        self.ready = False
        self.paused = False
        self.drop_held()
        self.settled.clear()

    def settle(self) -> None:
        """It is ours (again). The group may hand out an older commit than ours; the tracker skips what it knows."""
        self.committed = None
        self.settled.set()

    def lose(self) -> None:
        """It went to another member: what is under work must not be written."""
        self.ready = False
        self.lost = True
        self.settled.set()
