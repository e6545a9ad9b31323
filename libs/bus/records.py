"""What lies on the wire: records as read, records to be written. Knows bytes, not events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

Header = tuple[str, bytes]


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(Protocol):
    """A record as a consumer gives it; aiokafka's `ConsumerRecord` is one."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[Header]: ...


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record made by our own code: the in-memory bus's, a test's, or an output on its way."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be written. `partition` None leaves the choice to the key's hash."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()
    partition: int | None = None

    @property
    def size(self) -> int:
        """Bytes of key, value and headers; the broker adds a little framing."""
        return len(self.key or b"") + len(self.value or b"") + headers_size(self.headers)


def headers_size(headers: Sequence[Header]) -> int:
    """Bytes the headers take on the wire, generously."""
    return sum([len(name) + len(value or b"") + 10 for name, value in headers])


def written_at(record: Record) -> datetime:
    """When the record was written, as it says itself; the epoch where it says something impossible."""
    try:
        return datetime.fromtimestamp(record.timestamp / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def header(record: Record, name: str) -> bytes | None:
    """The first header of that name, as bytes."""
    for key, value in record.headers:
        if key == name:
            return value
    return None
