"""How fast one stage delivers, beside a plain aiokafka loop that does the same work without its promises.

`python -m tests.bench.delivery [RECORDS] [--profile]`: one partition, a synchronous handler, one process, uvloop, the
real broker; consume, validate, handle, publish, commit. Prints records per second of both and this process's own CPU
time per record, which a busy machine falsifies less.
"""

import argparse
import asyncio
import cProfile
import json
import pstats
import tempfile
import time
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from infra.kafka import Cluster, ensure_topics
from libs.bus import Outgoing, Stage, encode, headers_for
from libs.bus.kafka import KafkaBus
from libs.settings import BusSettings
from libs.telemetry import TelemetryObserver, Traces, configure_metrics
from schemas.prompts import PromptRefused, PromptRepeated
from schemas.topics import CATALOGUE
from tests.support.bus_bench import TOPICS, answer, on, question


async def fill(bus: KafkaBus, count: int) -> None:
    """Writes the inputs: 400 keys, 600 bytes each with their headers."""
    producer = await bus.producer()
    for number in range(count):
        event = question(f"p{number}", f"k{number % 400}")
        headers = headers_for(event, f"id-{number}", "bench")
        future = await producer.send(Outgoing("prompt-refused", event.key.encode(), encode(event), headers, 0))
    await future
    await producer.stop()


async def written(bus: KafkaBus, count: int) -> None:
    """Returns when the outputs are in the log."""
    while sum((await bus.end_offsets("prompt-repeated")).values()) < count:
        await asyncio.sleep(0.01)


def now() -> tuple[float, float]:
    """Wall and CPU clocks."""
    return time.perf_counter(), time.process_time()


def since(started: tuple[float, float]) -> tuple[float, float]:
    """What has passed on both."""
    return time.perf_counter() - started[0], time.process_time() - started[1]


async def by_stage(bus: KafkaBus, before: int, count: int) -> tuple[float, float]:
    """Wall and CPU seconds a stage needs, telemetry as in a service."""
    metrics, _ = configure_metrics("bench", 0, None)
    observer = TelemetryObserver("bench", metrics, Traces(None))
    stage = Stage("bench", bus, [on(answer)], observer=observer)
    started = now()
    task = asyncio.create_task(stage.run())
    await written(bus, before + count)
    spent = since(started)
    stage.stop()
    await task
    return spent


async def plainly(servers: str, bus: KafkaBus, before: int, count: int) -> tuple[float, float]:
    """Wall and CPU seconds a loop needs that validates, answers, publishes and commits batch by batch."""
    consumer = AIOKafkaConsumer("prompt-refused", bootstrap_servers=servers, group_id="plain", enable_auto_commit=False,
                                auto_offset_reset="earliest", fetch_max_wait_ms=20,
                                max_partition_fetch_bytes=4 * 1024 * 1024)  # fmt: skip
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True, max_batch_size=262_144)
    started = now()
    await consumer.start()
    await producer.start()
    left = count
    while left:
        for records in (await consumer.getmany(timeout_ms=500, max_records=500)).values():
            futures = []
            for record in records:
                event = answer(PromptRefused.model_validate_json(record.value))
                body = event.__pydantic_serializer__.to_json(event)
                futures.append(await producer.send(PromptRepeated.TYPE, body, record.key, record.partition))
            await asyncio.gather(*futures)
            await consumer.commit()
            left -= len(records)
    await written(bus, before + count)
    spent = since(started)
    await consumer.stop()
    await producer.stop()
    return spent


async def run(count: int, profile: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder), die_with_parent=True) as cluster:
        settings = BusSettings(bootstrap_servers=cluster.bootstrap_servers, topic_partitions=1)
        await ensure_topics(settings, [topic for topic in CATALOGUE if topic.name in TOPICS])
        bus = KafkaBus(settings, client_id="bench")
        await fill(bus, count)
        plain = await plainly(cluster.bootstrap_servers, bus, 0, count)
        profiler = cProfile.Profile() if profile else None
        if profiler:
            profiler.enable()
        stage = await by_stage(bus, count, count)
        if profiler:
            profiler.disable()
            pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
        await bus.close()
    found = {
        "records": count,
        "plain_per_s": round(count / plain[0]),
        "stage_per_s": round(count / stage[0]),
        "ratio": round(plain[0] / stage[0], 3),
        "plain_cpu_us": round(plain[1] / count * 1e6, 1),
        "stage_cpu_us": round(stage[1] / count * 1e6, 1),
        "cpu_ratio": round(plain[1] / stage[1], 3),
    }
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", nargs="?", type=int, default=60_000)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(arguments.records, arguments.profile))


if __name__ == "__main__":
    main()
