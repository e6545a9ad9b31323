"""Header names that are no UTF-8, made readable: aiokafka raises on one, at every poll, for ever.

A broker takes any bytes as a header's name, so one careless upstream could stop a stage. As Java's client does, what
is no UTF-8 is replaced; the record is otherwise whole. Costs nothing until such a batch comes. For aiokafka 0.14.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_BEFORE_LENGTH = 12
_MAGIC = 16


def tolerate_header_names() -> None:
    """From now on aiokafka's consumers in this process read such batches. Calling it twice is harmless."""
    fetcher.MemoryRecords = _Records
    fetcher.PartitionRecords = _PartitionRecords


class _Records(MemoryRecords):  # type: ignore[misc]
    """What one fetch brought of one partition, with its bytes kept for a second reading."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.raw = raw


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    _records: Any

    def _unpack_records(self) -> Iterator[Any]:
        try:
            yield from super()._unpack_records()
        except UnicodeDecodeError:
            # The second reading goes on where the first one failed.
            self._records = _SlowRecords(self._records.raw, self.next_fetch_offset)
            yield from super()._unpack_records()


class _SlowRecords:
    """The same bytes, read by aiokafka's own Python code instead of its compiled code."""

    def __init__(self, raw: bytes, start: int) -> None:
        batches = (_Batch(b) if b[_MAGIC] >= 2 else MemoryRecords(b).next_batch() for b in _batches(raw))
        self._batches = [batch for batch in batches if batch.next_offset > start]

    def has_next(self) -> bool:
        return bool(self._batches)

    def next_batch(self) -> Any:
        return self._batches.pop(0)


def _batches(raw: bytes) -> Iterator[bytes]:
    start = 0
    while start + _BEFORE_LENGTH <= len(raw):
        length = int.from_bytes(raw[start + 8 : start + _BEFORE_LENGTH], "big")
        end = start + _BEFORE_LENGTH + length
        if end > len(raw):
            # A fetch may end in the middle of a batch.
            return
        yield bytes(raw[start:end])
        start = end


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Buffer(self._buffer)


class _Buffer(bytearray):
    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return _Text(found) if isinstance(index, slice) else found


class _Text(bytearray):
    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)
