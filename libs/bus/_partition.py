"""What a stage knows of one partition it owns."""

from collections import deque

from libs.bus.breaker import FailureGauge
from libs.bus.offsets import OffsetTracker
from libs.bus.records import Record, TopicPartition


class Partition:
    """Fetched records that wait for room, offsets in flight, and how well it goes."""

    __slots__ = ("committed", "gauge", "held", "paused", "ready", "tp", "tracker")

    def __init__(self, tp: TopicPartition) -> None:
        self.tp = tp
        self.tracker = OffsetTracker()
        self.gauge = FailureGauge()
        self.held: deque[Record] = deque()
        self.ready = False
        self.paused = False
        self.committed: int | None = None

    @property
    def uncommitted(self) -> int | None:
        """The offset to commit, if it has moved since the last commit."""
        offset = self.tracker.committable
        return offset if offset != self.committed else None
