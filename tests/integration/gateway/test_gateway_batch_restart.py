"""A gateway killed in the middle of a batch, a process of its own on the real broker: every line ends once."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from libs.bus.kafka import KafkaBus
from libs.settings import BusSettings
from tests.conftest import MakeKafka
from tests.support.batches import calling, ended, line, quick, results, started
from tests.unit.gateway.parts import KEY, TOPICS, answering, serving_gateway, until, write_keys

pytestmark = pytest.mark.broker

LINES = 300


@asynccontextmanager
async def process(settings: BusSettings, folder: Path, instance: int = 0) -> AsyncIterator[tuple[AsyncOpenAI, int]]:
    """A gateway process, killed at the end; a client of it, and its process id."""
    ready = folder / f"ready-{instance}.json"
    ready.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "TAILRACE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TAILRACE_TOPIC_PREFIX": settings.topic_prefix,
        "TAILRACE_INSTANCE": str(instance),
        "TAILRACE_READY_FILE": str(ready),
        "TAILRACE_GATEWAY_API_KEYS_FILE": str(write_keys(folder / "keys.json")),
        "TAILRACE_GATEWAY_BATCH_DIR": str(folder / "batches"),
        "TAILRACE_GATEWAY_BATCH_LOOK": "PT0.05S",
    }
    started_process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway", env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await until(lambda: ready.exists() or started_process.returncode is not None, 60)
        url = json.loads(ready.read_text())["url"]
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=30) as client:
            yield client, started_process.pid
    finally:
        if started_process.returncode is None:
            started_process.kill()
        await started_process.wait()


async def test_a_batch_goes_on_where_a_killed_gateway_left_it(make_kafka: MakeKafka, tmp_path: Path) -> None:
    settings = await make_kafka(*TOPICS)
    bus = KafkaBus(settings, client_id="test")
    async with answering(bus) as pipeline:
        asked = [line(f"c-{n}", f"echo text {n}") for n in range(LINES)]
        # What never answers holds its places until the gateway is gone.
        waits = [line(f"w-{n}", "silence") for n in range(30)]
        async with process(settings, tmp_path) as (client, _):
            batch = await started(client, *asked[:150], *waits, *asked[150:], "{broken")
            await until(lambda: len(pipeline.prompts) > 200)
        before = len(pipeline.prompts)
        pipeline.silent = False
        # Another instance takes the job up; it has another partition of replies.
        async with process(settings, tmp_path, instance=1) as (client, _):
            done = await ended(client, batch)
            output = (await client.files.content(done.output_file_id or "")).text.splitlines()
            errors = await results(client, done.error_file_id)
    await bus.close()
    assert done.status == "completed"
    assert done.request_counts is not None
    assert (done.request_counts.completed, done.request_counts.failed) == (LINES + 30, 1)
    found = Counter(json.loads(answer)["custom_id"] for answer in output)
    assert found == Counter([*(f"c-{n}" for n in range(LINES)), *(f"w-{n}" for n in range(30))])
    assert set(errors) == {None}
    assert len({prompt.prompt_id for prompt in pipeline.prompts}) == LINES + 30
    assert before > 200


async def test_of_two_gateways_with_one_folder_one_runs_the_job_and_both_answer(
    make_kafka: MakeKafka, tmp_path: Path
) -> None:
    bus = KafkaBus(await make_kafka(*TOPICS), client_id="test")
    async with (
        answering(bus) as pipeline,
        serving_gateway(bus, tmp_path, **quick(tmp_path)) as first,
        serving_gateway(bus, tmp_path, instance=1, **quick(tmp_path)) as second,
        calling(first) as one,
        calling(second) as other,
    ):
        batch = await started(one, *(line(f"c-{n}", f"echo {n}") for n in range(50)))
        done = await ended(other, batch)
        assert done.status == "completed"
        assert len(await results(other, done.output_file_id)) == 50
        assert len(pipeline.prompts) == 50
        quiet = await started(one, *(line(f"s-{n}", "silence") for n in range(5)))
        assert (await other.batches.cancel(quiet.id)).status == "cancelling"
        assert (await ended(one, quiet)).status == "cancelled"
    await bus.close()
