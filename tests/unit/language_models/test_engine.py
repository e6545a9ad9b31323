import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from libs.language_models import TokenCounter
from libs.language_models.engine import Engine, EngineSettings
from libs.language_models.generation import (
    Delta,
    EngineDown,
    Finished,
    GenerationFailed,
    GenerationRequest,
    PromptTooLong,
)
from schemas.base import Lane, Message

PROMPTS = ["Hi", "What is a broker?", "Tell me of the sea. " * 30, "Count to ten, please", "Why?"]


@pytest.fixture(scope="module")
def model() -> Any:
    """A Llama small enough for a laptop's blink, with random weights and the real vocabulary."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=2,
        initializer_range=0.5,
    )
    return AutoModelForCausalLM.from_config(config).eval()  # type: ignore[no-untyped-call]


@pytest.fixture
def engine(model: Any, counter: TokenCounter) -> Iterator[Engine]:
    engine = Engine(model, counter, EngineSettings(slots=3, reserved_slots=1, read_tokens=32, max_tokens=24))
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
    ids = torch.tensor([counter.encode_messages(asking(text).messages)])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, pad_token_id=2
    )
    return counter.tokenizer.decode(out[0, ids.shape[1] :].tolist()).rstrip("\ufffd")


async def test_each_row_writes_what_generate_writes_whoever_shares_the_batch(
    engine: Engine, model: Any, counter: TokenCounter
) -> None:
    # Lengths differ, slots are fewer than prompts: rows join, leave and move while others write.
    requests = [asking(text, max_tokens=8 + 7 * n) for n, text in enumerate(PROMPTS)]
    answers = await asyncio.gather(*(answer(engine, request) for request in requests))
    expected = [by_generate(model, counter, text, 8 + 7 * n) for n, text in enumerate(PROMPTS)]
    assert [text for text, _ in answers] == expected
    assert [end.finish_reason for _, end in answers] == ["length"] * 5
    assert [end.completion_tokens for _, end in answers] == [8, 15, 22, 29, 36]


async def test_a_seed_gives_the_same_answer_alone_and_in_company(engine: Engine) -> None:
    request = asking("Hi", temperature=1.0, top_p=0.95, seed=11)
    alone = await answer(engine, request)
    company = (answer(engine, asking(text, temperature=1.0, seed=n)) for n, text in enumerate(PROMPTS))
    together, *_ = await asyncio.gather(answer(engine, request), *company)
    assert together == alone
    assert (await answer(engine, asking("Hi", temperature=1.0, top_p=0.95, seed=12)))[0] != alone[0]


async def test_a_drawn_seed_is_named_and_repeats_the_answer(engine: Engine) -> None:
    text, end = await answer(engine, asking("Hi", temperature=1.0))
    assert end.seed is not None
    assert (await answer(engine, asking("Hi", temperature=1.0, seed=end.seed)))[0] == text


async def test_the_text_ends_before_a_stop_string(engine: Engine) -> None:
    whole, _ = await answer(engine, asking("Hi"))
    stop = whole[10:14]
    text, end = await answer(engine, asking("Hi", stop=(stop,)))
    assert text == whole[: whole.index(stop)]
    assert end.finish_reason == "stop"


async def test_leaving_early_frees_the_slot_for_who_waits(engine: Engine) -> None:
    endless = [engine.generate(asking("Hi", max_tokens=400)) for _ in range(3)]
    for stream in endless:
        assert isinstance(await anext(stream), Delta)
    waiting = asyncio.create_task(answer(engine, asking("Why?", max_tokens=3)))
    await endless[0].aclose()
    assert (await waiting)[1].completion_tokens == 3
    for stream in endless[1:]:
        await stream.aclose()


async def test_batch_work_waits_while_only_reserved_slots_are_free(engine: Engine) -> None:
    ends: list[str] = []

    async def run(name: str, lane: Lane, tokens: int) -> None:
        await answer(engine, asking("Hi", max_tokens=tokens, lane=lane))
        ends.append(name)

    async with asyncio.TaskGroup() as group:
        for n in range(3):
            group.create_task(run(f"batch {n}", Lane.BATCH, 60))
        group.create_task(run("real-time", Lane.REAL_TIME, 20))
    assert ends[0] == "real-time"
    assert ends[-1] == "batch 2"


async def test_the_context_window_bounds_prompt_and_answer_together(engine: Engine) -> None:
    prompt = asking("word " * 480, max_tokens=400)
    _, end = await answer(engine, prompt)
    assert end.prompt_tokens + end.completion_tokens == 512
    assert end.finish_reason == "length"
    with pytest.raises(PromptTooLong, match="context window is 512"):
        await answer(engine, asking("word " * 600))


async def test_json_is_json_even_from_random_weights(engine: Engine) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}, "kind": {"enum": ["a", "b"]}},
        "required": ["ok", "kind"],
        "additionalProperties": False,
    }
    text, end = await answer(engine, asking("Hi", json_schema=schema, max_tokens=40))
    assert set(json.loads(text)) == {"ok", "kind"}
    assert end.finish_reason == "stop"


async def test_a_schema_that_makes_no_sense_is_the_requests_error(engine: Engine) -> None:
    with pytest.raises(ValueError, match="JSON Schema is not supported"):
        await answer(engine, asking("Hi", json_schema={"type": "no-such-type"}))
    assert engine.ready


async def test_an_error_in_one_request_leaves_the_others_alone(engine: Engine) -> None:
    class Broken:
        complete = False

        def allow(self, logits: torch.Tensor) -> torch.Tensor:
            raise ZeroDivisionError

    loop, failure = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
    good = asyncio.create_task(answer(engine, asking("Hi")))

    def listen(event: object) -> None:
        loop.call_soon_threadsafe(failure.set_result, event)

    sequence = engine._sequence(asking("Hi"), listen)
    sequence.grammar = Broken()  # type: ignore[assignment]
    with engine._arrived:
        engine._arrivals.append(sequence)
        engine._arrived.notify()
    assert isinstance(await failure, GenerationFailed)
    assert (await good)[1].completion_tokens == 24
    assert engine.ready


async def test_a_broken_model_is_reported_to_all_and_as_not_ready(counter: TokenCounter) -> None:
    config = LlamaConfig(
        vocab_size=100, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1
    )
    # A vocabulary of 100 cannot look up the tokenizer's ids.
    model = AutoModelForCausalLM.from_config(config).eval()  # type: ignore[no-untyped-call]
    engine = Engine(model, counter, EngineSettings(slots=2, reserved_slots=0))
    engine.start()
    results = await asyncio.gather(*(answer(engine, asking("Hi")) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, EngineDown) for result in results)
    assert not engine.ready
    with pytest.raises(EngineDown, match="the engine broke: IndexError"):
        await answer(engine, asking("Hi"))


async def test_closing_tells_whoever_still_waits(model: Any, counter: TokenCounter) -> None:
    engine = Engine(model, counter, EngineSettings(slots=1, reserved_slots=0))
    engine.start()
    stream = engine.generate(asking("Hi", max_tokens=400))
    await anext(stream)
    engine.close()
    with pytest.raises(EngineDown, match="closed"):
        async for _ in stream:
            pass
