"""Part b: records per second of one stage with a synchronous handler, one partition, one process.

Peers: FastStream's own at-least-once subscriber, which publishes and commits message by message, and, as the roof, a
plain pipelined aiokafka loop that promises nothing about keys, ids, retries or dead letters.
"""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

from libs.bus.kafka import KafkaBus
from libs.telemetry import configure_metrics
from tests.bench.frame import Bench, Finding, Goal, Part, Row, in_turn
from tests.bench.sides import faststream, our_stage, plain_loop
from tests.bench.timing import Spent, fill, timed
from tests.support.bus_bench import answer

ROUNDS = 4
KEYS = 400


async def run(bench: Bench) -> Finding:
    """Medians over rounds; each side starts at the beginning of the same topic."""
    count = bench.times(30_000)
    metrics, _ = configure_metrics("bench", 0, None)
    async with bench.broker(partitions=1) as settings:
        servers, bus = settings.bootstrap_servers, KafkaBus(settings, client_id="bench")
        await fill(bus, count, KEYS)

        def side(start: Callable[[str], Awaitable[None]], share: int) -> Callable[[int], Awaitable[Spent]]:
            return lambda _: timed(bus, start(f"bench-{uuid.uuid4().hex[:8]}"), share)

        found = await in_turn(
            ROUNDS,
            {
                "Tailrace stage": side(lambda group: our_stage(bus, group, metrics, answer), count),
                "FastStream AckPolicy.ACK": side(lambda group: faststream(servers, group, answer), max(2, count // 15)),
                "plain aiokafka loop": side(lambda group: plain_loop(servers, group, answer), count),
            },
        )
        await bus.close()
    ours, peer, roof = (rate(spent) for spent in found.values())
    return Finding(
        [row(name, spent, ours) for name, spent in found.items()],
        [
            Goal("records per second to FastStream's", ours / peer, at_least=8),
            Goal("records per second to the plain loop's", ours / roof, at_least=0.25),
        ],
        [f"{count} records (FastStream fewer), {KEYS} keys, medians of {ROUNDS} rounds, wall clock."],
    )


def rate(spent: Sequence[Spent]) -> float:
    """Median records per second."""
    return median(one.per_second for one in spent)


def row(name: str, spent: Sequence[Spent], ours: float) -> Row:
    """One side's line."""
    return {
        "side": name,
        "records/s": rate(spent),
        "slowest round": min(one.per_second for one in spent),
        "fastest round": max(one.per_second for one in spent),
        "CPU us/record": median(one.cpu_us for one in spent),
        "Tailrace is": f"{ours / rate(spent):.2f}x",
    }


PARTS = (Part("b", "Throughput of one stage: consume, validate, handle, publish, commit", run),)
