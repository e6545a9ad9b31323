"""One record under work, with what was read of it."""

import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libs.bus.envelope import Envelope
from libs.bus.records import Record, TopicPartition
from libs.bus.routes import Route
from schemas.base import Event, Lane
from schemas.topics import topic_named

if TYPE_CHECKING:
    from libs.bus._partition import Partition


@dataclass(slots=True, eq=False)
class Work:
    """A record on its way through a handler. `event` is None where the body could not be read."""

    record: Record
    route: Route
    partition: "Partition"
    event: Event | None = None
    envelope: Envelope | None = None
    received: float = field(default_factory=time.perf_counter)
    closed: bool = False

    @property
    def tp(self) -> TopicPartition:
        """Where the record lies."""
        return TopicPartition(self.record.topic, self.record.partition)

    @property
    def lane(self) -> Lane:
        """The lane of the record's topic; topics of no lane count as real-time."""
        return topic_named(self.record.topic).lane or Lane.REAL_TIME

    @property
    def key(self) -> Hashable:
        """What must keep its order: the event's key within its topic partition, each time we own that anew."""
        if self.event is None or not self.route.delivery.ordered:
            return (self.partition, self.record.offset)
        return (self.partition, self.event.key)

    @property
    def follow(self) -> int | None:
        """The partition outputs go to: the input's, unless its writer did not key it as the contract says."""
        if self.record.key is None:
            return None
        if self.event is not None and self.record.key != self.event.key.encode():
            return None
        return self.record.partition
