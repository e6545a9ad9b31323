"""Part c: a stage whose handler waits 0 to 5 ms, on one partition with 1 000 keys, against one at a time.

The set-up is that of Confluent's Parallel Consumer, the reference in Java (22.2 s to 2.1 s for 10 000 messages).
"""

import asyncio
import random
import uuid
from statistics import median

from libs.bus.kafka import KafkaBus
from libs.telemetry import configure_metrics
from schemas.prompts import PromptRefused, PromptRepeated
from tests.bench.frame import Bench, Finding, Goal, Part, Row, in_turn, ratio_of_medians
from tests.bench.sides import Async, one_at_a_time, our_stage
from tests.bench.timing import Spent, fill, timed
from tests.support.bus_bench import answer

ROUNDS = 2
KEYS = 1000
LONGEST = 0.005


def waiting(count: int, seed: int) -> Async:
    """A handler that waits as long for a prompt, whoever asks."""
    source = random.Random(seed)
    delays = [source.uniform(0, LONGEST) for _ in range(count)]

    async def wait(event: PromptRefused) -> PromptRepeated:
        await asyncio.sleep(delays[int(event.prompt_id[1:])])
        return answer(event)

    return wait


async def run(bench: Bench) -> Finding:
    """Seconds for all records, and the ratio of the medians."""
    count = bench.times(10_000)
    handler = waiting(count, seed=7)
    metrics, _ = configure_metrics("bench", 0, None)
    async with bench.broker(partitions=1) as settings:
        servers, bus = settings.bootstrap_servers, KafkaBus(settings, client_id="bench")
        await fill(bus, count, KEYS)

        async def ours(_: int) -> Spent:
            return await timed(bus, our_stage(bus, f"bench-{uuid.uuid4().hex[:8]}", metrics, handler), count)

        async def singly(_: int) -> Spent:
            return await timed(bus, one_at_a_time(servers, f"bench-{uuid.uuid4().hex[:8]}", handler), count)

        found = await in_turn(ROUNDS, {"Tailrace stage": ours, "one at a time": singly})
        await bus.close()
    seconds = {name: [count / one.per_second for one in spent] for name, spent in found.items()}
    times = ratio_of_medians(seconds["one at a time"], seconds["Tailrace stage"])
    rows: list[Row] = [
        {
            "side": name,
            "seconds": median(taken),
            "CPU us/record": median(one.cpu_us for one in found[name]),
        }
        for name, taken in seconds.items()
    ]
    return Finding(
        rows,
        [Goal("times as fast as one at a time", times, at_least=9)],
        [f"{count} records, one partition, {KEYS} keys, seeded waits of 0 to 5 ms, medians of {ROUNDS} rounds."],
    )


PARTS = (Part("c", "A handler that waits: many in flight, in order per key, against one at a time", run),)
