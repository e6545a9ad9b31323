"""What every engine must do, run on the echo, on an OpenAI-compatible endpoint over HTTP, and on Ray Serve."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from libs.bus import Rejected
from libs.language_models import default_model_dir
from libs.language_models.generation import Delta, Finished, GenerationRequest
from schemas.base import Lane, Message
from services.inference.adapters.echo import EchoEngine
from services.inference.adapters.openai_compatible import OpenAIEngine
from services.inference.ports import AdaptingEngine
from services.inference.settings import InferenceSettings
from tests.support.adapters import drawn, kept
from tests.unit.inference.openai_server import chat_app, endpoint

CONTEXT = 512


def asking(text: str, **rest: Any) -> GenerationRequest:
    return GenerationRequest([Message(role="user", content=text)], **rest)


async def answer(engine: AdaptingEngine, request: GenerationRequest) -> tuple[str, Finished]:
    events = [event async for event in engine.generate(request)]
    text = "".join(event.text for event in events if isinstance(event, Delta))
    assert [isinstance(event, Finished) for event in events] == [False] * (len(events) - 1) + [True]
    assert isinstance(events[-1], Finished)
    return text, events[-1]


@asynccontextmanager
async def over_http(_: Path) -> AsyncIterator[AdaptingEngine]:
    async with (
        EchoEngine(context_tokens=CONTEXT) as echo,
        endpoint(chat_app(echo, models=("echo", "lora"))) as url,
        OpenAIEngine(InferenceSettings(endpoints=(url,), model="echo")) as engine,
    ):
        yield engine


def on_ray(models: Path) -> AbstractAsyncContextManager[AdaptingEngine]:
    from services.inference.adapters.ray_serve import RayEngine  # noqa: PLC0415 - only here, it is heavy

    return RayEngine(InferenceSettings(context_tokens=CONTEXT, slots=4, reserved_slots=1), models)


RAY = pytest.param(
    on_ray, id="ray", marks=[pytest.mark.model, pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(
    params=[
        pytest.param(lambda _: EchoEngine(context_tokens=CONTEXT), id="echo"),
        pytest.param(over_http, id="openai"),
        RAY,
    ],
    scope="module",
)
async def engine(request: pytest.FixtureRequest, models: Path) -> AsyncIterator[AdaptingEngine]:
    async with request.param(models) as engine:
        yield engine


@pytest.fixture(scope="module")
def adapter(engine: AdaptingEngine, models: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of one that the engine can have."""
    if isinstance(engine, EchoEngine | OpenAIEngine):
        return "lora"
    base = default_model_dir()
    at = drawn(base, tmp_path_factory.mktemp("drawn") / "lora", 1, r=1, target_modules=["v_proj"])
    return kept(models, at, base).name


async def test_an_adapter_answers_once_it_is_loaded_and_the_bare_model_beside_it(
    engine: AdaptingEngine, adapter: str
) -> None:
    bare = await answer(engine, asking("Name a river.", max_tokens=12))
    await engine.load(adapter)
    await engine.load(adapter)
    adapted, again = await asyncio.gather(
        answer(engine, asking("Name a river.", max_tokens=12, adapter=adapter)),
        answer(engine, asking("Name a river.", max_tokens=12)),
    )
    assert again == bare
    assert adapted[0] != bare[0] or isinstance(engine, EchoEngine | OpenAIEngine)


async def test_an_adapter_that_is_nowhere_is_said_to_be(engine: AdaptingEngine) -> None:
    if isinstance(engine, EchoEngine):
        await engine.load("any-name")
        return
    with pytest.raises(ValueError, match="none-0123456789ab"):
        await engine.load("none-0123456789ab")
    assert engine.ready()


async def test_text_comes_and_then_the_end_with_its_counts(engine: AdaptingEngine) -> None:
    assert engine.ready()
    text, end = await answer(engine, asking("What is the capital of France?", max_tokens=40))
    assert text.strip()
    assert end.finish_reason == "stop"
    assert end.prompt_tokens >= 6
    assert 0 < end.completion_tokens <= 40


async def test_the_same_greedy_request_gets_the_same_answer(engine: AdaptingEngine) -> None:
    first, second = [await answer(engine, asking("Name a river.", max_tokens=12)) for _ in range(2)]
    assert first == second


async def test_a_seed_repeats_a_sampled_answer(engine: AdaptingEngine) -> None:
    request = asking("Name a river.", max_tokens=12, temperature=1.0, seed=3)
    first, second = [await answer(engine, request) for _ in range(2)]
    assert first == second
    assert first[1].seed == 3


async def test_an_answer_ends_at_its_limit(engine: AdaptingEngine) -> None:
    _, end = await answer(engine, asking("Write a long story of many words about a river.", max_tokens=5))
    assert (end.finish_reason, end.completion_tokens) == ("length", 5)


async def test_a_stop_string_is_never_shown(engine: AdaptingEngine) -> None:
    question = "What is the capital of France?"
    whole, _ = await answer(engine, asking(question, max_tokens=20))
    stop = whole[-6:-1]
    text, end = await answer(engine, asking(question, max_tokens=20, stop=(stop,)))
    assert text == whole[: whole.index(stop)]
    assert end.finish_reason == "stop"


async def test_many_at_once_each_get_their_own_answer(engine: AdaptingEngine) -> None:
    questions = [f"Repeat the number {n} please." for n in range(8)]
    alone = [await answer(engine, asking(question, max_tokens=10)) for question in questions[:2]]
    lanes = [Lane.BATCH if n % 2 else Lane.REAL_TIME for n in range(8)]
    together = await asyncio.gather(
        *(answer(engine, asking(q, max_tokens=10, lane=lane)) for q, lane in zip(questions, lanes, strict=True))
    )
    assert together[:2] == alone
    assert len({text for text, _ in together}) > 1


async def test_leaving_a_stream_early_harms_nobody(engine: AdaptingEngine) -> None:
    for _ in range(6):
        stream = engine.generate(asking("Write a very long story about the sea.", max_tokens=300))
        assert isinstance(await anext(stream), Delta)
        await stream.aclose()
    text, _ = await answer(engine, asking("Name a river.", max_tokens=4))
    assert text
    assert engine.ready()


async def test_a_prompt_beyond_the_context_window_is_the_requests_error(engine: AdaptingEngine) -> None:
    with pytest.raises(Rejected) as rejected:
        await answer(engine, asking("word " * 2 * CONTEXT))
    assert rejected.value.code == "too_long"
    assert "word word" not in str(rejected.value)


async def test_asked_for_json_it_writes_json(engine: AdaptingEngine) -> None:
    schema = {"type": "object", "properties": {"echo": {"type": "string"}}, "required": ["echo"]}
    text, _ = await answer(engine, asking("Say hi.", json_schema=schema, max_tokens=60))
    assert isinstance(json.loads(text)["echo"], str)
