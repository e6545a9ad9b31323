"""Where a stage's time goes: `python -m tests.bench.profile_stage [RECORDS] [--asynchronous]`.

The stage of part b (or c) alone on a broker of its own, under cProfile. Functions by the time spent in themselves;
the profiler makes small functions look dearer than they are.
"""

import argparse
import asyncio
import cProfile
import pstats
import tempfile
from pathlib import Path

import uvloop

from libs.bus.kafka import KafkaBus
from libs.telemetry import configure_metrics
from tests.bench.frame import Bench
from tests.bench.parts.slow_handlers import waiting
from tests.bench.sides import our_stage
from tests.bench.timing import fill, timed
from tests.support.bus_bench import answer


async def run(count: int, asynchronous: bool) -> None:
    """Prints the profile, and what a record took under it."""
    metrics, _ = configure_metrics("bench", 0, None)
    handler = waiting(count, seed=7) if asynchronous else answer
    with tempfile.TemporaryDirectory() as folder:
        async with Bench(Path(folder)).broker(partitions=1) as settings:
            bus = KafkaBus(settings, client_id="bench")
            await fill(bus, count, 1000)
            profiler = cProfile.Profile()
            profiler.enable()
            spent = await timed(bus, our_stage(bus, "profiled", metrics, handler), count)
            profiler.disable()
            await bus.close()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(45)
    print(f"{spent.per_second:.0f} records/s, {spent.cpu_us:.1f} us of CPU each, under the profiler")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", nargs="?", type=int, default=30_000)
    parser.add_argument("--asynchronous", action="store_true", help="a handler that waits 0 to 5 ms")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(arguments.records, arguments.asynchronous))


if __name__ == "__main__":
    main()
