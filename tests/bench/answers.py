"""Prompts that arrive over time, and when each token of their answers was heard. Knows no model and no server.

The clock is the CPU time of the process that generates. With one thread that computes all the while, it is the wall's
clock of a machine that does nothing else; arrivals go by it too, so a busy machine changes neither side's load.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from tests.bench.frame import percentiles

Clock = Callable[[], float]
"""Seconds."""
Asking = Callable[[str, Callable[[], None]], Awaitable[int]]
"""Asks a prompt, calls back whenever there is more text, returns how many tokens the answer has."""

TEXT = "Write a long story about a river, a bridge and number {}. Take your time and describe every detail."
_LOOK_EVERY = 0.01
"""Seconds between two looks at a clock that is not the wall's."""


@dataclass(frozen=True)
class Answer:
    """One prompt's life, in seconds of the clock: asked, and each time text came."""

    asked: float
    heard: Sequence[float]
    tokens: int

    @property
    def first(self) -> float:
        """Time to the first token, the wait for its turn included."""
        return self.heard[0] - self.asked

    @property
    def gaps(self) -> list[float]:
        """Times between two tokens."""
        return [after - before for before, after in pairwise(self.heard)]


@dataclass(frozen=True)
class Spent:
    """A set of prompts answered: by the clock and by the wall, in seconds."""

    answers: Sequence[Answer]
    seconds: float
    wall: float

    @property
    def per_second(self) -> float:
        """Tokens per second of the clock."""
        return sum(answer.tokens for answer in self.answers) / self.seconds

    @property
    def per_wall_second(self) -> float:
        """Tokens per second of the wall's clock."""
        return sum(answer.tokens for answer in self.answers) / self.wall


def prompts(count: int) -> list[str]:
    """Of equal length, and none that ends early: the kindest case for a static batch, which pads nothing."""
    return [TEXT.format(10 + number) for number in range(count)]


def evenly(count: int, seconds: float) -> list[float]:
    """When each prompt comes, so many seconds apart."""
    return [seconds * number for number in range(count)]


def poisson(count: int, mean_seconds: float, seed: int) -> list[float]:
    """When each prompt comes, memoryless."""
    draw, at, found = random.Random(seed), 0.0, []
    for _ in range(count):
        found.append(at)
        at += draw.expovariate(1 / mean_seconds)
    return found


async def ask_over_time(asking: Asking, texts: Sequence[str], arrivals: Sequence[float], clock: Clock) -> Spent:
    """Asks each prompt at its time, whatever has become of those before it."""
    began, wall, running = clock(), time.perf_counter(), list[asyncio.Task[Answer]]()
    skipped = 0.0
    for text, due in zip(texts, arrivals, strict=True):
        while clock() - began + skipped < due:
            if all(task.done() for task in running):
                # Nobody computes, so a CPU's clock stands still.
                skipped = due - (clock() - began)
                break
            await asyncio.sleep(_LOOK_EVERY)
        running.append(asyncio.create_task(_answer(asking, text, clock)))
    answers = await asyncio.gather(*running)
    return Spent(answers, clock() - began, time.perf_counter() - wall)


async def _answer(asking: Asking, text: str, clock: Clock) -> Answer:
    asked, heard = clock(), list[float]()
    tokens = await asking(text, lambda: heard.append(clock()))
    return Answer(asked, heard, tokens)


def latencies(rounds: Sequence[Spent]) -> dict[str, float]:
    """Milliseconds, over all answers of all rounds."""
    answers = [answer for spent in rounds for answer in spent.answers]
    # One answer alone has its own time as each percentile.
    firsts = percentiles([answer.first * 1000 for answer in answers] * 2)
    gaps = percentiles([gap * 1000 for answer in answers for gap in answer.gaps])
    return {
        "first token p50 ms": firsts["p50"],
        "p95 ms": firsts["p95"],
        "between tokens p50 ms": gaps["p50"],
        "p95 ms ": gaps["p95"],
    }


def rate(rounds: Sequence[Spent]) -> float:
    """Median tokens per second of the clock."""
    return median(spent.per_second for spent in rounds)
