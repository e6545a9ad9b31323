"""Memory from the log: what a service has written is what it remembers.

Whoever gets a partition first reads back the tail of its own outputs there (bounded by a time window and a count),
then keeps up with what it writes. So a prompt seen, generated or answered before a crash is known after it, with
no database beside the log.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from libs.bus.records import Record
from schemas.base import Event
from schemas.topics import topics_of

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Protocol):
    """Something rebuilt from topics when a partition is assigned, and told of every record written to them."""

    @property
    def topics(self) -> tuple[str, ...]:
        """What to read back: the same partition number of each of these."""

    @property
    def window(self) -> timedelta:
        """How far to read back."""

    def recall(self, record: Record) -> None:
        """Takes in one record, in the order of the log per topic. Must not raise on a malformed one."""

    def forget(self, partition: int) -> None:
        """The partition went to another instance."""


class OutputMemory(Generic[K, V]):
    """The newest `limit` entries per partition, by key. `read` says what a record means; None: nothing."""

    def __init__(
        self,
        events: tuple[type[Event], ...],
        read: Callable[[Record], tuple[K, V] | None],
        *,
        window: timedelta = timedelta(hours=24),
        limit: int = 100_000,
    ) -> None:
        self.topics: tuple[str, ...] = tuple(topic.name for event in events for topic in topics_of(event))
        self.window = window
        self._read = read
        self._limit = limit
        self._entries: dict[int, OrderedDict[K, V]] = {}

    def recall(self, record: Record) -> None:
        try:
            found = self._read(record)
        except ValueError:
            # Not ours, or damaged: whoever consumes the topic reports it.
            return
        if found is not None:
            self.remember(record.partition, *found)

    def remember(self, partition: int, key: K, value: V) -> None:
        """Notes an entry; the first one of a key stands."""
        entries = self._entries.setdefault(partition, OrderedDict())
        if key in entries:
            return
        entries[key] = value
        if len(entries) > self._limit:
            entries.popitem(last=False)

    def find(self, key: K) -> V | None:
        """The entry of that key in any partition this instance holds."""
        for entries in self._entries.values():
            if (found := entries.get(key)) is not None:
                return found
        return None

    def forget(self, partition: int) -> None:
        self._entries.pop(partition, None)

    def __len__(self) -> int:
        return sum(len(entries) for entries in self._entries.values())
