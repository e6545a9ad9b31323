"""Which offsets of one partition are in flight, and how far the log may be committed.

Work finishes in any order; only the end of the contiguous finished run may be committed, so that a crash repeats
work but never skips it. Offsets need not be consecutive (compaction and transactions leave holes).
"""

from collections import deque


class OffsetTracker:
    """Offsets start in increasing order and finish in any order."""

    __slots__ = ("_finished", "_next", "_open", "_pending")

    def __init__(self) -> None:
        self._open: deque[int] = deque()
        self._pending: set[int] = set()
        self._finished: set[int] = set()
        self._next: int | None = None

    def start(self, offset: int) -> bool:
        """Notes that work on `offset` begins. False: it is known already (a refetch), leave it alone."""
        if self._next is not None and offset < self._next:
            return False
        self._open.append(offset)
        self._pending.add(offset)
        self._next = offset + 1
        return True

    def finish(self, offset: int) -> None:
        """Notes that `offset` needs no more work. Raises KeyError if it was not in flight."""
        self._pending.remove(offset)
        self._finished.add(offset)
        while self._open and self._open[0] in self._finished:
            self._finished.discard(self._open.popleft())

    @property
    def committable(self) -> int | None:
        """The offset to commit: that of the next record to handle after a restart. None: nothing was started."""
        return self._open[0] if self._open else self._next

    @property
    def in_flight(self) -> int:
        """How many offsets have started and not finished."""
        return len(self._pending)
