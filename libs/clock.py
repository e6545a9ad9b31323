"""Time as a parameter: services take a `Clock`, tests hand in a fixed one. Knows nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present, timezone-aware, in UTC."""
    return datetime.now(UTC)


class Seldom:
    """Whether it is time again, at most once in so long; of time stamps in milliseconds that others have noted."""

    def __init__(self, every: timedelta) -> None:
        self._every_ms = every.total_seconds() * 1000
        self._last_ms = float("-inf")

    def due(self, at_ms: float, *, anyway: bool = False) -> bool:
        """Counts as done where it is. `anyway`: it is, whenever it was last."""
        if not anyway and at_ms - self._last_ms < self._every_ms:
            return False
        self._last_ms = at_ms
        return True
