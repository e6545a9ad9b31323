"""The bounded in-flight window: different keys run side by side, one key runs in order.

Pure bookkeeping: it starts nothing and waits for nothing; `libs.bus.stage` does.
"""

from collections import Counter, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class KeyedWindow(Generic[T]):
    """Slots are counted per pool (a topic's lane); a key is free, or busy with followers queued behind it."""

    __slots__ = ("_busy", "_limits", "_taken")

    def __init__(self, limits: dict[str, int]) -> None:
        self._limits = limits
        self._taken: Counter[str] = Counter()
        self._busy: dict[Hashable, deque[T]] = {}

    def has_room(self, pool: str) -> bool:
        """Whether one more record of the pool may come under work."""
        return self._taken[pool] < self._limits[pool]

    def take_slot(self, pool: str) -> None:
        """One record of the pool is under work (or queued behind its key)."""
        self._taken[pool] += 1

    def free_slot(self, pool: str) -> None:
        """That record needs no more work. Raises ValueError when more are freed than were taken."""
        if self._taken[pool] <= 0:
            raise ValueError(f"no slot of {pool!r} is taken")
        self._taken[pool] -= 1

    def queue_behind(self, key: Hashable, item: T) -> bool:
        """Queues the item if its key is busy. False: the key is free and the item may run now."""
        followers = self._busy.get(key)
        if followers is None:
            return False
        followers.append(item)
        return True

    def occupy(self, key: Hashable) -> None:
        """The key is busy from now on. Raises ValueError if it was already."""
        if key in self._busy:
            raise ValueError(f"key {key!r} is busy already")
        self._busy[key] = deque()

    def next(self, key: Hashable) -> T | None:
        """The next item of a busy key; None: there is none, and the key is free again."""
        followers = self._busy[key]
        if followers:
            return followers.popleft()
        del self._busy[key]
        return None

    def abandon(self, gone: Callable[[T], bool]) -> list[T]:
        """Takes queued items out again, e.g. those of a lost partition. Their slots are the caller's to free."""
        taken: list[T] = []
        for followers in self._busy.values():
            taken += [item for item in followers if gone(item)]
            kept = [item for item in followers if not gone(item)]
            followers.clear()
            followers.extend(kept)
        return taken

    @property
    def in_flight(self) -> int:
        """Slots taken, of all pools."""
        return self._taken.total()
