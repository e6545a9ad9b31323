"""Time as a parameter: services take a `Clock`, tests hand in a fixed one. Knows nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present, timezone-aware, in UTC."""
    return datetime.now(UTC)
