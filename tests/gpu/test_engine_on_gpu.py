"""The engine on an accelerator: the same promises as on a CPU, float32, weights of any kind.

`TAILRACE_TEST_MODEL` names a folder with config and tokenizer where the default model cannot be installed: without
weights beside them, random ones of its shape are drawn. `TAILRACE_TEST_DEVICE=cpu` tries the tests themselves.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from libs.language_models import TokenCounter, default_model_dir
from libs.language_models.engine import Engine, EngineSettings
from libs.language_models.generation import Finished, GenerationRequest
from schemas.base import Message

pytestmark = pytest.mark.gpu

PROMPTS = ["Hi", "What is a broker?", "Tell me of the sea. " * 30, "Count to ten, please", "Why?"]


@pytest.fixture(scope="module")
def folder() -> Path:
    named = os.environ.get("TAILRACE_TEST_MODEL")
    return Path(named) if named else default_model_dir()


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    torch.manual_seed(1)
    if (folder / "model.safetensors").exists():
        found: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    else:
        found = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)  # type: ignore[no-untyped-call]
    return found.to(os.environ.get("TAILRACE_TEST_DEVICE", "cuda")).eval()


@pytest.fixture(scope="module")
def counter(folder: Path) -> TokenCounter:
    return TokenCounter.from_folder(folder)


@pytest.fixture
def engine(model: Any, counter: TokenCounter) -> Iterator[Engine]:
    engine = Engine(model, counter, EngineSettings(slots=3, reserved_slots=1, read_tokens=32))
    engine.start()
    yield engine
    engine.close()


def asking(text: str, **rest: Any) -> GenerationRequest:
    return GenerationRequest([Message(role="user", content=text)], **rest)


async def answer(engine: Engine, request: GenerationRequest) -> tuple[str, Finished]:
    text = ""
    async for event in engine.generate(request):
        if isinstance(event, Finished):
            return text, event
        text += event.text
    raise AssertionError("no end")


def by_generate(model: Any, counter: TokenCounter, text: str, tokens: int) -> str:
    ids = torch.tensor([counter.encode_messages(asking(text).messages)], device=model.device)
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, pad_token_id=2
    )
    return counter.tokenizer.decode(out[0, ids.shape[1] :].tolist(), skip_special_tokens=True).rstrip("\ufffd")


async def test_staggered_prompts_of_different_lengths_get_what_generate_writes(
    engine: Engine, model: Any, counter: TokenCounter
) -> None:
    async def later(number: int, text: str) -> str:
        # Each joins when those before it have begun to write.
        await asyncio.gather(*(begun[n].wait() for n in range(number)))
        written = ""
        async for event in engine.generate(asking(text, max_tokens=8 + 7 * number)):
            begun[number].set()
            written += "" if isinstance(event, Finished) else event.text
        return written

    begun = [asyncio.Event() for _ in PROMPTS]
    written = await asyncio.gather(*(later(number, text) for number, text in enumerate(PROMPTS)))
    assert written == [by_generate(model, counter, text, 8 + 7 * n) for n, text in enumerate(PROMPTS)]


async def test_cancelling_frees_the_slot_for_who_waits(engine: Engine) -> None:
    streams = [engine.generate(asking(PROMPTS[2], max_tokens=1000)) for _ in range(3)]
    for stream in streams:
        await anext(stream)
    waiting = asyncio.create_task(answer(engine, asking("Why?", max_tokens=3)))
    await streams[0].aclose()
    assert (await waiting)[1].completion_tokens <= 3
    for stream in streams[1:]:
        await stream.aclose()


async def test_a_seed_gives_the_same_answer_alone_and_in_company(engine: Engine) -> None:
    request = asking("Hi", temperature=1.0, top_p=0.95, seed=11, max_tokens=24)
    alone = await answer(engine, request)
    company = (answer(engine, asking(text, temperature=1.0, seed=n, max_tokens=24)) for n, text in enumerate(PROMPTS))
    together, *_ = await asyncio.gather(answer(engine, request), *company)
    assert together == alone
