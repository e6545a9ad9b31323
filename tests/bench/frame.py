"""What a part of the benchmark is made of, and what it is given. Knows no part and no way of showing results.

A part measures its subject and its floor or peers in one run, taking turns, so that whatever else the machine does hits
all sides alike: ratios are what counts, and a part's goals are ratios.
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import TypeVar

from infra.kafka import Cluster, ensure_topics
from libs.settings import BusSettings
from schemas.topics import CATALOGUE

T = TypeVar("T")
Row = Mapping[str, str | float]
"""One line of a table: the same columns in every row of a part."""


@dataclass(frozen=True)
class Goal:
    """A ratio that shall be reached. Exactly one bound is set."""

    name: str
    found: float
    at_most: float = math.inf
    at_least: float = -math.inf

    @property
    def reached(self) -> bool:
        """Whether it is."""
        return self.at_least <= self.found <= self.at_most

    def __str__(self) -> str:
        bound = f"at most {self.at_most:g}" if math.isfinite(self.at_most) else f"at least {self.at_least:g}"
        return f"{self.name}: {self.found:.2f} ({bound}: {'reached' if self.reached else 'NOT reached'})"


@dataclass(frozen=True)
class Finding:
    """What a part has found."""

    rows: Sequence[Row]
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Bench:
    """What a part is given. `scale` shrinks counts for a quick look; such figures are not for keeping."""

    folder: Path
    scale: float = 1.0
    say: Callable[[str], None] = field(default=lambda _: None)

    def times(self, count: int) -> int:
        """The count at this run's scale."""
        return max(1, round(count * self.scale))

    @asynccontextmanager
    async def broker(self, partitions: int) -> AsyncIterator[BusSettings]:
        """A broker of the part's own with all topics of the catalogue; gone at the end."""
        async with Cluster(self.folder / "broker", die_with_parent=True) as cluster:
            settings = BusSettings(bootstrap_servers=cluster.bootstrap_servers, topic_partitions=partitions)
            await ensure_topics(settings, CATALOGUE)
            yield settings


@dataclass(frozen=True)
class Part:
    """One question of the benchmark. `name` chooses it on the command line."""

    name: str
    title: str
    run: Callable[[Bench], Awaitable[Finding]]


async def in_turn(rounds: int, sides: Mapping[str, Callable[[int], Awaitable[T]]]) -> dict[str, list[T]]:
    """Runs each side once a round, every second round in reverse; a side is told the round. Results by side."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides) if number % 2 == 0 else reversed(list(sides)):
            found[name].append(await sides[name](number))
    return found


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in the unit of the values. Needs at least two."""
    cuts = quantiles(values, n=100)
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}


def ratio_of_medians(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How many times theirs ours is."""
    return median(ours) / median(theirs)
