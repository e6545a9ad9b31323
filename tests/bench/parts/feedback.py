"""Part g: feedback and data sets as they grow: memory must not, and what each one costs should not.

Each size in a process of its own, so that its memory is its own. The last of each is a million at scale 1.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.bench.frame import Bench, Finding, Goal, Part, Row

SIZES = (10_000, 100_000, 1_000_000)
AT_MOST = 1.5
"""Times the memory at the middle size: caches are full there."""
MODULES = {"judgements into examples": "feedback_memory", "examples into a data set": "dataset_memory"}

Found = Mapping[str, Any]


async def run(bench: Bench) -> Finding:
    """A row for each size of each."""
    found = {what: [await _measured(bench, module, size) for size in SIZES] for what, module in MODULES.items()}
    rows = [row for what, sizes in found.items() for row in table(what, sizes)]
    goals = [Goal(f"memory, {what}: {grown(sizes)}", _ratio(sizes), at_most=AT_MOST) for what, sizes in found.items()]
    return Finding(rows, goals, _NOTES)


async def _measured(bench: Bench, module: str, size: int) -> Found:
    count = bench.times(size)
    bench.say(f"{module}: {count}")
    folder = bench.folder / f"{module}-{count}"
    folder.mkdir()
    command = [sys.executable, "-m", f"tests.bench.{module}", str(count), str(folder)]
    done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
    return {"count": count, **json.loads(done.stdout)}


def table(what: str, sizes: Sequence[Found]) -> list[Row]:
    """What each size took."""
    return [
        {
            "what": what,
            "how many": f"{found['count']:,}",
            "processor, ms for each": 1000 * found["cpu_seconds"] / found["count"],
            "memory, MB": found["rss_mb"],
            "of it at the start, MB": found["rss_before_mb"],
        }
        for found in sizes
    ]


def grown(sizes: Sequence[Found]) -> str:
    """What the goal compares."""
    return f"{sizes[-1]['count']:,} to {sizes[-2]['count']:,}"


def _ratio(sizes: Sequence[Found]) -> float:
    return float(sizes[-1]["rss_mb"] / sizes[-2]["rss_mb"])


_NOTES = (
    "Four judgements to an answer, half of them before it; SQLite; the log only counts.",
    "Examples of one judgement or two, answers of 50 words; a tenth have a sibling, a tenth a near-copy.",
    "Memory is the most that the process held.",
)

PARTS = (Part("g", "Feedback and data sets as they grow", run),)
