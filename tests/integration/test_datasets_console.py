"""`tailrace datasets publish` and its readers as operators run them, against the real broker."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from libs.bus import Outgoing, decode, encode
from libs.bus.kafka import KafkaBus
from libs.datasets import Datasets, read_policy
from libs.settings import BusSettings
from schemas.feedback import ExampleRecorded
from schemas.training import DatasetPublished
from tests.support.examples import example, judged

pytestmark = pytest.mark.broker

MakeKafka = Callable[..., Awaitable[BusSettings]]


def crowd(count: int) -> list[ExampleRecorded]:
    return [
        example(f"r-{n}", judged("thumb", n % 3 > 0, f"s{n}"), asked=f"Question {n // 2}?", text=f"The answer is {n}.")
        for n in range(count)
    ]


async def record(bus: KafkaBus, examples: Sequence[ExampleRecorded | str]) -> None:
    producer = await bus.producer()
    for it in examples:
        key, value = (it, None) if isinstance(it, str) else (it.response_id, encode(it))
        await producer.send(Outgoing("example-recorded", key.encode(), value))
    await producer.flush()
    await producer.stop()


async def start(environ: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "services.console", *arguments)
    return await asyncio.create_subprocess_exec(*command, env=environ, stdout=pipe, stderr=pipe)


async def tailrace(environ: dict[str, str], *arguments: str) -> Any:
    process = await start(environ, *arguments, "--json")
    async with asyncio.timeout(120):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def test_what_is_on_the_log_is_published_listed_and_traced(make_kafka: MakeKafka, tmp_path: Path) -> None:
    settings = await make_kafka()
    bus = KafkaBus(settings, client_id="test")
    own = {
        "TAILRACE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TAILRACE_TOPIC_PREFIX": settings.topic_prefix,
        "TAILRACE_HOME": str(tmp_path / "home"),
    }
    environ, examples = {**os.environ, **own}, crowd(40)
    shuffled = [*examples, *examples[:20]]
    random.Random(5).shuffle(shuffled)
    try:
        await record(bus, [*shuffled, "r-7"])
        killed = await start(environ, "datasets", "publish")
        await asyncio.wait([asyncio.create_task(killed.communicate())], timeout=1.5)
        if killed.returncode is None:
            killed.send_signal(signal.SIGKILL)
            await killed.wait()
        first = await tailrace(environ, "datasets", "publish")
        again = await tailrace(environ, "datasets", "publish")
        assert again == {**first, "is_new": False}
        direct = [it for it in examples if it.response_id != "r-7"]
        assert Datasets(tmp_path / "direct").publish(direct, read_policy()).dataset.name == first["name"]
        (listed,) = await tailrace(environ, "datasets", "list")
        assert listed["name"] == first["name"]
        assert (await tailrace(environ, "datasets", "show", "--verify"))["faults"] == []
        rows = await tailrace(environ, "lineage", "r-1")
        assert {row["kind"] for row in rows} == {"dpo", "kto"}
        assert await tailrace(environ, "lineage", rows[0]["row"]) == [rows[0]]
        told = [r for p in await bus.partitions("dataset-published") async for r in bus.read("dataset-published", p)]
        (event,) = (decode(one, DatasetPublished) for one in told)
        assert event.name == first["name"]
    finally:
        await bus.close()
