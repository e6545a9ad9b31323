"""Part f: how one stage and the index grow: partitions and processes, bytes of an event, indexed chunks.

Each is beside its own smallest size, in the same run.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

from tests.bench.frame import Bench, Finding, Part, Row, in_turn, percentiles
from tests.bench.growing import Growth, Size, grow

ROUNDS = 2
SINGLE = 100
PROCESSES = (1, 2, 4)
EVENTS = 20_000
SIZES = {1_000: 12_000, 10_000: 6_000, 100_000: 1_000}
"""Bytes of an event, and how many of them."""
CHUNKS = (1_000, 10_000, 100_000)
QUERIES = 200
_WHOLE_RUNS_ONLY = 100_000
"""Chunks that take minutes to index."""

Found = Mapping[str, tuple[float, Mapping[str, float]]]
"""By size: how many a second, and percentiles in milliseconds."""


async def run(bench: Bench) -> Finding:
    """Three tables in one."""
    async with bench.broker(partitions=1) as settings:
        servers = settings.bootstrap_servers
        widths = {str(n): (Size(n, n, 1_000), bench.times(EVENTS)) for n in PROCESSES}
        lengths = {f"{size // 1000} KB": (Size(1, 1, size), bench.times(count)) for size, count in SIZES.items()}
        wide = await _stages(bench, servers, widths)
        long = await _stages(bench, servers, lengths)
    indexes = [await _index(bench, count) for count in CHUNKS if count < _WHOLE_RUNS_ONLY or bench.scale >= 1]
    rows = [
        *table("partitions and processes, events of 1 KB", wide),
        *table("bytes of an event, one partition, one process", long),
        *table("indexed chunks, one search at a time", {f"{found['chunks']:,}": searches(found) for found in indexes}),
    ]
    return Finding(rows, (), [*_notes(), *map(told, indexes)])


async def _stages(bench: Bench, servers: str, sizes: Mapping[str, tuple[Size, int]]) -> Found:
    async def one(name: str, _: int) -> Growth:
        size, events = sizes[name]
        found = await grow(servers, size, events, bench.times(SINGLE))
        bench.say(f"{name}: {found.per_second:.0f} events/s")
        return found

    found = await in_turn(ROUNDS, {name: partial(one, name) for name in sizes})
    return {name: (median(r.per_second for r in rounds), pooled(rounds)) for name, rounds in found.items()}


def pooled(rounds: Sequence[Growth]) -> dict[str, float]:
    """Percentiles over all rounds."""
    return percentiles([value for one in rounds for value in one.milliseconds])


async def _index(bench: Bench, chunks: int) -> dict[str, Any]:
    """In a process of its own, so that its memory is its own."""
    bench.say(f"indexing {chunks} chunks")
    folder = bench.folder / f"index-{chunks}"
    command = [sys.executable, "-m", "tests.bench.index_growth", str(folder), str(chunks), str(bench.times(QUERIES))]
    done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def searches(index: Mapping[str, Any]) -> tuple[float, Mapping[str, float]]:
    """One at a time, so the rate is the mean's."""
    return 1000 / index["mean"], {name: index[name] for name in ("p50", "p95", "p99")}


def table(grows: str, found: Found) -> list[Row]:
    """A row per size, the smallest first, and each one's ratio to it."""
    least_rate, least = next(iter(found.values()))
    return [
        {
            "grows": grows,
            "to": size,
            "per second": rate,
            "to the smallest": f"{rate / least_rate:.2f}x",
            **{f"{cut} ms": value for cut, value in cuts.items()},
            "p50 to the smallest": f"{cuts['p50'] / least['p50']:.2f}x",
        }
        for size, (rate, cuts) in found.items()
    ]


def told(index: Mapping[str, Any]) -> str:
    """What an index of that size occupies."""
    return (
        f"{index['chunks']:,} chunks: built in {index['build_s']:.1f} s "
        f"({index['chunks'] / index['build_s']:,.0f} a second), {index['memory_mb']:.0f} MB of memory at most while "
        f"building and searching, {index['disk_mb']:.0f} MB on disk."
    )


def _notes() -> list[str]:
    return [
        f"Stages are whole services with an identity handler; {os.cpu_count()} cores carry them, broker and client.",
        "Events a second of a full topic, medians of two rounds; milliseconds are of one event at a time.",
        "Chunks have 80 words by Zipf's law and random unit vectors of 384 numbers; dense and BM25 search, fused.",
        "The embedding of a question is not part of its search.",
    ]


PARTS = (Part("f", "Growth: partitions and processes, bytes of an event, indexed chunks", run),)
