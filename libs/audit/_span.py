"""What was read of the log, and what may be said of what was not.

Knows offsets and times; holds no records.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from libs.audit._facts import Place

Where = Literal["inside", "before", "beyond", "unread"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which prompts are judged: those submitted in this time, of this tenant. None: no bound."""

    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None

    def holds(self, timestamp: int) -> bool:
        """Whether a prompt submitted then (milliseconds since the epoch) is judged."""
        return (self.since is None or timestamp >= millis(self.since)) and (
            self.until is None or timestamp < millis(self.until)
        )

    def reaches(self, timestamp: int) -> bool:
        """Whether an event of then is looked at, its prompt unseen: not if it was read for the clocks' sake only."""
        return self.since is None or timestamp >= millis(self.since)


@dataclass(slots=True)
class Extent:
    """Offsets of one partition: read from `start` up to, and without, `end`."""

    start: int
    end: int
    cut_ms: float | None = None
    """What was written until then may be missing: retention removed it, or it is older than what was asked for."""


@dataclass(slots=True)
class Span:
    """What was read, and how far each partition's reader had come before the ends were taken."""

    extents: dict[tuple[str, int], Extent]
    handled: Mapping[tuple[str, int], int] | None = None
    """The offset each reader has committed; 0 where it has none. None: nobody knows."""
    moment: datetime = field(default_factory=lambda: datetime.now(UTC))
    grace: timedelta = timedelta(minutes=5)
    known_for: timedelta = timedelta(hours=24)
    """How long a prompt's id is known: later it may be asked again."""

    def where(self, place: Place) -> Where:
        """Where a record would lie."""
        extent = self.extents.get((place.topic, place.partition))
        if extent is None:
            return "unread"
        if place.offset < extent.start:
            return "before"
        return "inside" if place.offset < extent.end else "beyond"

    def waits(self, place: Place, timestamp: int) -> bool:
        """Whether the record's reader has not finished it: known by its commits, else assumed while it is young."""
        if self.handled is None:
            return timestamp > millis(self.moment - self.grace)
        return place.offset >= self.handled.get((place.topic, place.partition), 0)

    def cut_before(self, topic: str, partition: int, timestamp: int) -> bool:
        """Whether what was written to a partition then may have been removed, or lie before what was read."""
        extent = self.extents.get((topic, partition))
        return extent is None or (extent.cut_ms is not None and timestamp <= extent.cut_ms)

    def cut_anywhere(self, topic: str, timestamp: int) -> bool:
        """The same for a topic whose writers choose the partition anew."""
        return any(self.cut_before(name, partition, timestamp) for name, partition in self.extents if name == topic)


def millis(moment: datetime) -> int:
    """Milliseconds since the epoch."""
    return int(moment.timestamp() * 1000)
