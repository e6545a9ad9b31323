"""`python -m tests.bench`: what the path costs, side by side with a floor in one run. Table on stdout, JSON on request.

So far: the latency of one prompt at a time through the whole path without model and retrieval, next to a bare relay of
the same number of hops, one process per hop, on the same broker.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

HOPS = 6
"""submitted > accepted > grounded > cleared > generated > cleared > ready."""


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in the unit of the values."""
    cuts = quantiles(values, n=100)
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98]}


async def round_trips(servers: str, source: str, target: str, prompts: int, warm_up: int = 30) -> list[float]:
    """Milliseconds from publish to outcome of one prompt at a time."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(target, bootstrap_servers=servers, auto_offset_reset="latest", fetch_max_wait_ms=20)
    await producer.start()
    await consumer.start()
    await consumer.seek_to_end()
    try:
        await asyncio.gather(*[consumer.position(tp) for tp in consumer.assignment()])
        return [await _one(producer, consumer, source) for _ in range(warm_up + prompts)][warm_up:]
    finally:
        await producer.stop()
        await consumer.stop()


async def _one(producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, source: str) -> float:
    prompt_id = f"bench-{uuid.uuid4().hex}"
    body = {
        "prompt_id": prompt_id,
        "messages": [{"role": "user", "content": "How far behind may a consumer group fall before anyone is told?"}],
        "grounding": {"mode": "off"},
    }
    started = time.perf_counter()
    await producer.send(source, json.dumps(body).encode(), key=prompt_id.encode())
    async for record in consumer:
        if record.key == prompt_id.encode():
            return (time.perf_counter() - started) * 1000
    raise AssertionError("the consumer ended")


@asynccontextmanager
async def bare_relay(servers: str) -> AsyncIterator[tuple[str, str]]:
    """The relay's processes; yields its first and last topic."""
    topics = [f"relay-{uuid.uuid4().hex[:8]}-{hop}" for hop in range(HOPS + 1)]
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 4, 1) for name in topics])
    await admin.close()
    hops = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.bench.relay", servers, *topics[hop : hop + 2]], stdout=subprocess.PIPE
        )
        for hop in range(HOPS)
    ]
    try:
        for process in hops:
            assert process.stdout is not None
            await asyncio.to_thread(process.stdout.readline)
        yield topics[0], topics[-1]
    finally:
        for process in hops:
            process.terminate()
        for process in hops:
            process.wait()


def tailrace(*arguments: str, home: Path) -> str:
    """Runs the command against a stack of the benchmark's own."""
    environment = {**os.environ, "TAILRACE_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "services.console", *arguments],
        env=environment, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


async def measure(prompts: int) -> dict[str, dict[str, float]]:
    """Both sides, one after the other on one broker."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        tailrace("up", "--engine", "echo", home=home)
        try:
            servers = json.loads(tailrace("status", "--json", home=home))["bootstrap_servers"]
            path = percentiles(await round_trips(servers, "prompt-submitted", "response-ready", prompts))
            async with bare_relay(servers) as (first, last):
                floor = percentiles(await round_trips(servers, first, last, prompts))
        finally:
            tailrace("down", home=home)
    return {"tailrace": path, "bare relay": floor, "ratio": {name: path[name] / floor[name] for name in path}}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = asyncio.run(measure(arguments.prompts))
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    print(f"publish to outcome, one prompt at a time, {arguments.prompts} prompts, milliseconds")
    for side, found in results.items():
        print(f"  {side:<12}" + "".join(f"  {name} {value:8.2f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
