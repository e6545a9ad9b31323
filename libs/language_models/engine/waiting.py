"""Who gets the next free slot. Real-time work first; batch work takes what real-time work leaves. Pure."""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from schemas.base import Lane

T = TypeVar("T")


class WaitingRoom(Generic[T]):
    """Two queues, first come first served within a lane.

    `reserved` slots are never given to batch work, so that a real-time prompt finds one free at once.
    """

    def __init__(self, slots: int, reserved: int = 0) -> None:
        if not 0 <= reserved < slots:
            raise ValueError(f"reserved slots must be fewer than all slots: {reserved} of {slots}")
        self._slots = slots
        self._reserved = reserved
        self._queues: dict[Lane, deque[T]] = {lane: deque() for lane in Lane}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def add(self, item: T, lane: Lane) -> None:
        """Joins the end of its lane's queue."""
        self._queues[lane].append(item)

    def next(self, taken: int) -> T | None:
        """Whose turn it is while `taken` slots are in use; None if nobody's."""
        batch = self._queues[Lane.BATCH]
        if self._queues[Lane.REAL_TIME]:
            return self.next_real_time(taken)
        return batch.popleft() if batch and taken < self._slots - self._reserved else None

    def next_real_time(self, taken: int) -> T | None:
        """Whose turn it is among real-time work alone."""
        queue = self._queues[Lane.REAL_TIME]
        return queue.popleft() if queue and taken < self._slots else None

    def remove_if(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Takes out, and returns, those who no longer wait."""
        removed = [item for queue in self._queues.values() for item in queue if unwanted(item)]
        for lane, queue in self._queues.items():
            self._queues[lane] = deque(item for item in queue if not unwanted(item))
        return removed
