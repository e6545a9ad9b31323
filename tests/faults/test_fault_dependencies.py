"""What the services depend on goes away and comes back: safety, its policies, the engine, the vector store."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.bus.kafka import KafkaBus
from schemas.prompts import PromptCleared, PromptGrounded
from services.safety.settings import SHIPPED_POLICIES
from tests.support.faults.crowd import PLAIN, Crowd, assert_kept, prompts_of, written
from tests.support.faults.endpoint import Endpoint, endpoint
from tests.support.faults.family import Family
from tests.support.faults.fate import Fate

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("faults")]


async def reaches(bus: KafkaBus, asked: list[str], event: type[PromptGrounded]) -> None:
    """Returns when each of these prompts has come so far."""
    async with asyncio.timeout(60):
        while not set(asked) <= await prompts_of(bus, event):  # noqa: ASYNC110 - a topic tells nobody
            await asyncio.sleep(0.1)


async def test_nothing_passes_while_safety_is_down_and_all_is_answered_after(
    services: Family, log: KafkaBus, crowd: Crowd
) -> None:
    await services.hold("safety")
    before = await written(log, PromptCleared)
    asked = await crowd.ask(20, **PLAIN)
    await reaches(log, asked, PromptGrounded)
    assert await written(log, PromptCleared) == before
    await services.release("safety")
    report = await crowd.verdict()
    assert_kept(report, len(crowd.asked))
    assert report.prompts.answered == len(crowd.asked)


@pytest.fixture
async def policies(services: Family, tmp_path: Path) -> AsyncIterator[Path]:
    """The folder that safety reads."""
    folder = tmp_path / "policies"
    shutil.copytree(SHIPPED_POLICIES, folder)
    environ = {"TAILRACE_SAFETY_POLICY_DIR": str(folder), "TAILRACE_SAFETY_POLICY_CHECK_SECONDS": "0.01"}
    await services.anew("safety", fate=Fate(environ=environ))
    yield folder
    await services.anew("safety")


async def test_nothing_passes_while_the_policy_file_is_gone_not_even_by_a_restart(
    services: Family, log: KafkaBus, crowd: Crowd, policies: Path
) -> None:
    aside = (policies / "default.yaml").rename(policies.with_name("aside"))
    before = await written(log, PromptCleared)
    asked = await crowd.ask(10, **PLAIN)
    await reaches(log, asked, PromptGrounded)
    ends = len(services.exits["safety"])
    services.kill("safety")
    async with asyncio.timeout(60):
        # It is started again, and refuses to work without rules.
        while 1 not in services.exits["safety"][ends:]:  # noqa: ASYNC110 - a process tells nobody
            await asyncio.sleep(0.05)
    assert await written(log, PromptCleared) == before
    aside.rename(policies / "default.yaml")
    report = await crowd.verdict()
    assert_kept(report, len(crowd.asked))
    assert report.prompts.answered == len(crowd.asked)


@pytest.fixture
async def engine(services: Family) -> AsyncIterator[Endpoint]:
    """The endpoint that inference asks."""
    async with endpoint() as made:
        environ = {
            "TAILRACE_INFERENCE_ENGINE": "openai",
            "TAILRACE_INFERENCE_ENDPOINTS": json.dumps([f"{made.url}/v1"]),
            "TAILRACE_INFERENCE_TIMEOUT_SECONDS": "0.5",
            "TAILRACE_INFERENCE_REST_SECONDS": "0",
            "TAILRACE_INFERENCE_CACHE_ENTRIES": "0",
        }
        await services.anew("inference", fate=Fate(environ=environ))
        yield made
        await services.anew("inference")


async def test_prompts_outlast_an_engine_that_hangs_breaks_off_and_is_busy(engine: Endpoint, crowd: Crowd) -> None:
    for mood in ("hangs", "breaks off", "is busy"):
        engine.becomes(mood)
        await crowd.ask(8, **PLAIN)
        await engine.was_asked(8)
    engine.becomes("answers")
    report = await crowd.verdict()
    assert_kept(report, len(crowd.asked))
    assert report.prompts.answered == len(crowd.asked)


@pytest.fixture
async def store(services: Family) -> AsyncIterator[Endpoint]:
    """The vector store that grounding asks."""
    async with endpoint() as made:
        environ = {"TAILRACE_GROUNDING_INDEX": "server", "TAILRACE_GROUNDING_QDRANT_URL": made.url}
        await services.anew("grounding", fate=Fate(environ=environ))
        yield made
        await services.anew("grounding")


async def test_prompts_outlast_a_vector_store_that_hangs_and_is_busy(store: Endpoint, crowd: Crowd) -> None:
    grounded = {**PLAIN, "grounding": {"mode": "auto"}}
    for mood in ("is busy", "hangs"):
        store.becomes(mood)
        await crowd.ask(5, **grounded)
        await store.was_asked(5)
    store.becomes("answers")
    report = await crowd.verdict()
    assert_kept(report, len(crowd.asked))
    assert report.prompts.answered == len(crowd.asked)
