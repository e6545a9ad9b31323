"""Stops a stage whose messages mostly fail, so that a bad deployment cannot empty a topic into the dead letters.

After Arroyo's dead letter limit: a share of the newest messages, not a count of all.
"""

from collections import deque


class FailureGauge:
    """The newest `size` results of one partition; tripped when, of at least `minimum`, more than half failed."""

    __slots__ = ("_failed", "_minimum", "_results")

    def __init__(self, size: int = 100, minimum: int = 20) -> None:
        self._results: deque[bool] = deque(maxlen=size)
        self._minimum = minimum
        self._failed = 0

    def note(self, *, failed: bool) -> None:
        """Takes in one result."""
        if len(self._results) == self._results.maxlen:
            self._failed -= self._results[0]
        self._results.append(failed)
        self._failed += failed

    @property
    def tripped(self) -> bool:
        """Whether most messages fail."""
        return len(self._results) >= self._minimum and self._failed * 2 > len(self._results)
