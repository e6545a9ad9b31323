"""A gateway is killed with streams open: callers see it, and asking again with the same key gives the one outcome."""

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from infra.kafka import free_ports
from libs.bus.kafka import KafkaBus
from schemas.responses import ResponseReady
from tests.support.faults.crowd import Crowd, assert_kept, prompts_of
from tests.support.faults.family import Family
from tests.support.faults.fate import Fate

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("faults")]
KEY, MODEL = "tr-key", "smollm2-135m-instruct"
SENTENCES = " ".join(f"This is sentence number {n}, which has words enough to stand alone." for n in range(12))


@pytest.fixture
async def url(services: Family, tmp_path: Path) -> AsyncIterator[str]:
    """A gateway's address; the engine behind it takes its time."""
    keys = tmp_path / "keys.json"
    entry = {"sha256": hashlib.sha256(KEY.encode()).hexdigest(), "tenant": "default", "name": "test"}
    keys.write_text(json.dumps([entry]))
    [port] = free_ports(1)
    environ = {"TAILRACE_GATEWAY_API_KEYS_FILE": str(keys), "TAILRACE_GATEWAY_PORT": str(port)}
    await services.anew("inference", fate=Fate(environ={"TAILRACE_INFERENCE_ECHO_TOKEN_SECONDS": "0.02"}))
    await services.join("gateway", fate=Fate(environ=environ))
    yield f"http://127.0.0.1:{port}/v1"
    await services.leave("gateway")
    await services.anew("inference")


async def test_callers_of_a_killed_gateway_get_the_one_outcome_when_they_ask_again(
    services: Family, log: KafkaBus, crowd: Crowd, url: str, chance: random.Random
) -> None:
    names = [f"k{chance.randrange(10**9)}" for _ in range(6)]
    before = await prompts_of(log, ResponseReady)
    begun: set[str] = set()
    async with AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=60) as client:
        streams = [asyncio.create_task(told(client, name, begun.add)) for name in names]
        async with asyncio.timeout(60):
            while len(begun) < len(names):  # noqa: ASYNC110 - a set tells nobody
                await asyncio.sleep(0.01)
        services.kill("gateway")
        assert not any(await asyncio.gather(*streams))
        await services.ready("gateway")
        again = await asyncio.gather(*[answered(client, name) for name in names])
    assert all(SENTENCES in text for text in again)
    report = await crowd.verdict()
    assert_kept(report, len(names))
    assert report.prompts.answered == len(names)
    assert len(await prompts_of(log, ResponseReady) - before) == len(names)


async def told(client: AsyncOpenAI, name: str, begun: Callable[[str], None]) -> bool:
    """Whether the stream came to its proper end."""
    ended = False
    try:
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": f"{name} {SENTENCES}"}],
            stream=True,
            extra_headers={"Idempotency-Key": name},
            extra_body={"tailrace": {"grounding": {"mode": "off"}}},
        )
        async for chunk in stream:
            if not ended and chunk.choices and chunk.choices[0].delta.content:
                begun(name)
            ended = ended or bool(chunk.choices and chunk.choices[0].finish_reason)
    except (openai.APIError, httpx.HTTPError):
        return False
    return ended


async def answered(client: AsyncOpenAI, name: str) -> str:
    """The whole answer to the same question under the same key."""
    completion = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": f"{name} {SENTENCES}"}],
        extra_headers={"Idempotency-Key": name},
        extra_body={"tailrace": {"grounding": {"mode": "off"}}},
    )
    return completion.choices[0].message.content or ""
