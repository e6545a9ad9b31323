"""What docs/contract.md shows is run as it stands: the Python upstream and Kafka's own tools, on the real broker.

Ingestion and post-processing alone answer these prompts: their deadline has passed, or they are no valid prompts.
"""

import asyncio
import importlib.util
import json
import re
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeter

from libs.bus.kafka import KafkaBus
from libs.sealing import write_key_file
from libs.service import Runtime
from libs.settings import BusSettings, ServiceSettings
from libs.telemetry import Metrics, Traces
from schemas.feedback import FeedbackSubmitted
from services.ingestion.app import create_app as create_ingestion
from services.post_processing.app import create_app as create_post_processing
from services.post_processing.settings import PostProcessingSettings

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
HI = [{"role": "user", "content": "Hello!"}]
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
LATE = {"deadline": "2020-01-01T00:00:00Z", "messages": HI}


@pytest.fixture(scope="module")
def upstream() -> Any:
    """The example of the page, as a module."""
    spec = importlib.util.spec_from_file_location("upstream", ROOT / "docs" / "examples" / "upstream.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
async def installation(make_kafka: Callable[..., Awaitable[BusSettings]], tmp_path: Path) -> AsyncIterator[BusSettings]:
    """An installation that turns prompts away and says so."""
    settings, stop = await make_kafka(), asyncio.Event()
    key_file = tmp_path / "seal.json"
    write_key_file(key_file)
    services = (create_ingestion(), create_post_processing(PostProcessingSettings(seal_key_file=key_file)))
    buses = [KafkaBus(settings, client_id=service.name) for service in services]
    lives = [
        asyncio.create_task(
            service.run_on(Runtime(bus, Metrics(NoOpMeter("test")), Traces(None), ServiceSettings()), stop)
        )
        for service, bus in zip(services, buses, strict=True)
    ]
    yield settings
    stop.set()
    await asyncio.gather(*lives)
    for bus in buses:
        await bus.close()


async def ask(upstream: Any, installation: BusSettings, prompt: dict[str, Any], **options: Any) -> dict[str, Any]:
    outcome: dict[str, Any] = await upstream.ask(
        installation.bootstrap_servers, prompt, topic_prefix=installation.topic_prefix, timeout=60, **options
    )
    return outcome


@pytest.mark.parametrize(
    "options", [{}, {"batch": True}, {"reply_partition": 15}, {"reply_partition": 3, "batch": True}]
)
async def test_the_python_upstream_gets_its_outcome(
    upstream: Any, installation: BusSettings, options: dict[str, Any]
) -> None:
    outcome = await ask(upstream, installation, {"prompt_id": "order-7781", "tenant": "acme", **LATE}, **options)
    assert (outcome["prompt_id"], outcome["tenant"]) == ("order-7781", "acme")
    assert (outcome["status"], outcome["reason"]["code"]) == ("failed", "deadline_exceeded")


async def test_a_mistake_is_told_by_field(upstream: Any, installation: BusSettings) -> None:
    outcome = await ask(upstream, installation, {"prompt_id": "order-7782", "messages": HI, "mesages": []})
    assert (outcome["status"], outcome["reason"]["code"]) == ("refused", "invalid_request")
    assert '"mesages"' in outcome["reason"]["message"]


async def test_a_prompt_published_twice_has_one_outcome(upstream: Any, installation: BusSettings) -> None:
    prompt = {"prompt_id": "order-7783", **LATE}
    first = await ask(upstream, installation, prompt)
    again = await ask(upstream, installation, prompt, reply_partition=9)
    assert again["response_id"] == first["response_id"]


async def test_kafkas_own_tools_publish_and_read(installation: BusSettings) -> None:
    """The page's first two commands, with this broker's address, topics and a deadline that has passed."""
    listen, publish, _ = (_command(block, installation) for block in BLOCKS)
    line = _line(BLOCKS[1]).replace('"messages"', '"deadline": "2020-01-01T00:00:00Z", "messages"')
    reader = await _start(*listen, "--from-beginning", "--max-messages", "1", "--timeout-ms", "90000")
    writer = await _start(*publish)
    await writer.communicate(line.encode())
    assert writer.returncode == 0
    said, _ = await reader.communicate()
    headers, key, body = said.decode().splitlines()[0].split("\t")
    assert "ce_type:tailrace.response-ready.v1" in headers
    assert key == "order-7781"
    assert json.loads(body)["reason"]["code"] == "deadline_exceeded"


async def test_kafkas_own_tools_publish_feedback(make_kafka: Callable[..., Awaitable[BusSettings]]) -> None:
    settings = await make_kafka("feedback-submitted")
    writer = await _start(*_command(BLOCKS[2], settings))
    await writer.communicate(_line(BLOCKS[2]).encode())
    assert writer.returncode == 0
    bus = KafkaBus(settings, client_id="test")
    ends = await bus.end_offsets("feedback-submitted")
    [record] = [record for partition in ends for record in [r async for r in bus.read("feedback-submitted", partition)]]
    await bus.close()
    said = FeedbackSubmitted.model_validate_json(record.value or b"")
    assert (said.key.encode(), said.value) == (record.key, 4)


def _command(block: str, installation: BusSettings) -> list[str]:
    """The command of a shell block, to be run by this Python on this installation."""
    words = shlex.split(block[block.index("python -m") :].replace("\\\n", " "))
    topic = words.index("--topic") + 1
    words[topic] = installation.topic_prefix + words[topic]
    words[words.index("--bootstrap-server") + 1] = installation.bootstrap_servers
    return [sys.executable, *words[1:]]


def _line(page: str) -> str:
    """What the page's `printf` writes."""
    found = re.search(r"printf '(.*?)' \|", page)
    assert found is not None
    return found[1].replace("\\t", "\t").replace("\\n", "\n")


async def _start(*command: str) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe)
