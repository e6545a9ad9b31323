"""What will happen to one life of a service: where it dies, what it lacks, how its clock goes."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args

from libs.clock import utc_now

Boundary = Literal["before produce", "after produce", "before commit", "after commit"]
BOUNDARIES: tuple[Boundary, ...] = get_args(Boundary)


@dataclass(frozen=True)
class Fate:
    """The default is an ordinary life."""

    dies: Boundary | None = None
    at: int = 1
    """The how manieth record handed over, or acknowledged, or commit."""
    produce_lag: float = 0.0
    """Seconds before the log gets a record: time to commit too early."""
    store_lag: float = 0.0
    """Seconds before a transaction of a database is durable: time to count on it too early."""
    poll_pause: float = 0.0
    """Seconds between two polls that then bring one record: a slow consumer."""
    largest_file: int | None = None
    """Bytes that any file may have; more is EFBIG, as a quota would say."""
    clock_seed: int | None = None
    """The clock jumps an hour back and forth."""
    environ: dict[str, str] = field(default_factory=dict)


def jumping(seed: int, now: Callable[[], datetime] = utc_now) -> Callable[[], datetime]:
    """A clock that is right, an hour late or an hour early, anew at every look."""
    chosen = random.Random(seed)
    steps = (timedelta(0), timedelta(hours=1), timedelta(hours=-1))
    return lambda: now() + chosen.choice(steps)
