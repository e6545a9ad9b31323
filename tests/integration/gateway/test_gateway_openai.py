"""The official `openai` client, unchanged, against a gateway on the real broker."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from libs.bus.kafka import KafkaBus
from schemas.prompts import PromptCancelled
from tests.unit.gateway.parts import KEY, MODEL, Gateway, Pipeline, serving_gateway, until

pytestmark = pytest.mark.broker


@pytest.fixture
async def gateway(kafka: KafkaBus, pipeline: Pipeline, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with serving_gateway(kafka, tmp_path) as gateway:
        yield gateway


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=gateway.v1, api_key=KEY, max_retries=0, timeout=30) as client:
        yield client


def said(content: str) -> "list[openai.types.chat.ChatCompletionMessageParam]":
    return [{"role": "user", "content": content}]


async def cancellations(kafka: KafkaBus) -> list[PromptCancelled]:
    """All that the topic holds now."""
    return [
        PromptCancelled.model_validate_json(record.value or b"")
        for partition in await kafka.partitions("prompt-cancelled")
        async for record in kafka.read("prompt-cancelled", partition)
    ]


async def cancellation_of(kafka: KafkaBus, prompt_id: str) -> PromptCancelled:
    """Waits for it."""
    async with asyncio.timeout(20):
        while True:
            for cancelled in await cancellations(kafka):
                if cancelled.prompt_id == prompt_id:
                    return cancelled


async def test_the_client_gets_a_whole_answer_and_its_sources(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(
        model=MODEL,
        messages=said("echo hello there"),
        max_completion_tokens=20,
        temperature=0,
        extra_body={"tailrace": {"conversation_id": "c-1", "grounding": {"mode": "off"}}},
    )
    assert completion.choices[0].message.content == "hello there"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 5
    assert completion.model_extra is not None
    assert completion.model_extra["tailrace"]["status"] == "answered"
    assert completion._request_id


async def test_an_answer_can_be_sent_back_as_history(client: AsyncOpenAI) -> None:
    first = await client.chat.completions.create(model=MODEL, messages=said("echo one"))
    history = [*said("echo one"), first.choices[0].message, *said("echo two")]
    second = await client.chat.completions.create(model=MODEL, messages=history)  # type: ignore[arg-type]
    assert second.choices[0].message.content == "two"


async def test_the_client_streams_with_usage_at_the_end(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model=MODEL, messages=said("echo one two"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices).strip() == "one two"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 2
    assert chunks[-2].choices[0].finish_reason == "stop"


async def test_the_clients_own_stream_helper_understands_the_stream(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model=MODEL, messages=said("echo one two")) as stream:
        kinds = {event.type async for event in stream}
        final = await stream.get_final_completion()
    assert "content.delta" in kinds
    assert (final.choices[0].message.content or "").strip() == "one two"


async def test_the_synchronous_client_works_alike(gateway: Gateway) -> None:
    def ask() -> tuple[str | None, str]:
        with OpenAI(base_url=gateway.v1, api_key=KEY, max_retries=0, timeout=30) as client:
            whole = client.chat.completions.create(model=MODEL, messages=said("echo hello"))
            stream = client.chat.completions.create(model=MODEL, messages=said("echo a b"), stream=True)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            return whole.choices[0].message.content, text

    assert await asyncio.to_thread(ask) == ("hello", "a b ")


async def test_the_client_lists_and_retrieves_models(client: AsyncOpenAI) -> None:
    listed = [model async for model in client.models.list()]
    assert [model.id for model in listed] == [MODEL]
    assert (await client.models.retrieve(MODEL)).owned_by == "tailrace"


async def test_errors_are_the_clients_own_exceptions(client: AsyncOpenAI, gateway: Gateway) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.AuthenticationError):
        await client.with_options(api_key="tr-wrong").models.list()
    with pytest.raises(openai.BadRequestError) as bad:
        await create(model=MODEL, messages=said("x"), n=2)
    assert (bad.value.param, bad.value.code, bad.value.type) == ("n", "unsupported_parameter", "invalid_request_error")
    with pytest.raises(openai.BadRequestError) as filtered:
        await create(model=MODEL, messages=said("refuse unsafe_prompt"))
    assert filtered.value.code == "content_filter"
    with pytest.raises(openai.NotFoundError):
        await create(model="gpt-4o", messages=said("x"))
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model=MODEL, input="x")
    with pytest.raises(openai.UnprocessableEntityError):
        await create(model=MODEL, messages=said("refuse no_source"))
    with pytest.raises(openai.APIStatusError) as large:
        await create(model=MODEL, messages=said("x" * 2_000_000))
    assert large.value.status_code == 413
    with pytest.raises(openai.InternalServerError) as failed:
        await create(model=MODEL, messages=said("fail internal_error"))
    assert failed.value.request_id


async def test_an_error_in_mid_stream_is_raised_by_the_client(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model=MODEL, messages=said("half internal_error"), stream=True)
    chunks = aiter(stream)
    seen = [(await anext(chunks)).choices[0].delta.content for _ in range(2)]
    with pytest.raises(openai.APIError) as failed:
        await anext(chunks)
    assert seen == ["", "Half an answer. "]
    assert failed.value.code == "internal_error"


async def test_the_client_tries_again_where_that_makes_sense_and_only_there(
    gateway: Gateway, pipeline: Pipeline
) -> None:
    async with AsyncOpenAI(base_url=gateway.v1, api_key=KEY, max_retries=1, timeout=30) as client:
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model=MODEL, messages=said("fail internal_error"))
    assert len(pipeline.prompts) == 1


async def test_a_client_that_times_out_frees_the_engine(
    client: AsyncOpenAI, pipeline: Pipeline, kafka: KafkaBus
) -> None:
    with pytest.raises(openai.APITimeoutError):
        await client.with_options(timeout=1.0).chat.completions.create(model=MODEL, messages=said("silence"))
    await until(lambda: pipeline.prompts)
    cancelled = await cancellation_of(kafka, pipeline.prompts[0].prompt_id)
    assert cancelled.tenant == "default"


async def test_a_client_that_leaves_its_stream_frees_the_engine(
    client: AsyncOpenAI, pipeline: Pipeline, kafka: KafkaBus
) -> None:
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=said("part first"),
        stream=True,
        extra_body={"tailrace": {"conversation_id": "c-2"}},
    )
    async for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    await stream.close()
    cancelled = await cancellation_of(kafka, pipeline.prompts[0].prompt_id)
    assert cancelled.conversation_id == "c-2"


async def test_a_deadline_that_passes_is_504_and_frees_the_engine(
    kafka: KafkaBus, pipeline: Pipeline, tmp_path: Path
) -> None:
    async with (
        serving_gateway(kafka, tmp_path, request_timeout=0.5, outcome_grace=0.1) as gateway,
        AsyncOpenAI(base_url=gateway.v1, api_key=KEY, max_retries=2, timeout=30) as client,
    ):
        with pytest.raises(openai.InternalServerError) as late:
            await client.chat.completions.create(model=MODEL, messages=said("silence"))
        assert late.value.status_code == 504
        assert late.value.code == "deadline_exceeded"
    assert len(pipeline.prompts) == 1
    await cancellation_of(kafka, pipeline.prompts[0].prompt_id)


async def test_too_many_callers_are_429_until_there_is_room(
    kafka: KafkaBus, pipeline: Pipeline, tmp_path: Path
) -> None:
    async with (
        serving_gateway(kafka, tmp_path, max_pending=1) as gateway,
        AsyncOpenAI(base_url=gateway.v1, api_key=KEY, max_retries=0, timeout=30) as client,
    ):
        waiting = asyncio.create_task(client.chat.completions.create(model=MODEL, messages=said("silence")))
        await until(lambda: pipeline.prompts)
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model=MODEL, messages=said("echo x"))
        retrying = client.with_options(max_retries=5)
        later = asyncio.create_task(retrying.chat.completions.create(model=MODEL, messages=said("echo x")))
        waiting.cancel()
        assert (await later).choices[0].message.content == "x"


async def test_an_idempotency_key_leads_to_one_outcome(client: AsyncOpenAI, pipeline: Pipeline) -> None:
    headers = {"Idempotency-Key": "order-1"}
    answers = [
        await client.chat.completions.create(model=MODEL, messages=said("echo x"), extra_headers=headers)
        for _ in range(2)
    ]
    assert answers[0].id == answers[1].id
    assert len({prompt.prompt_id for prompt in pipeline.prompts}) == 1
    with pytest.raises(openai.ConflictError):
        await client.chat.completions.create(model=MODEL, messages=said("echo y"), extra_headers=headers)


async def test_two_instances_each_read_their_own_partition(kafka: KafkaBus, pipeline: Pipeline, tmp_path: Path) -> None:
    async with (
        serving_gateway(kafka, tmp_path) as first,
        serving_gateway(kafka, tmp_path, instance=15) as last,
        AsyncOpenAI(base_url=first.v1, api_key=KEY, max_retries=0, timeout=30) as one,
        AsyncOpenAI(base_url=last.v1, api_key=KEY, max_retries=0, timeout=30) as other,
    ):
        asking = [
            client.chat.completions.create(model=MODEL, messages=said(f"echo {n}"))
            for n in range(10)
            for client in (one, other)
        ]
        answers = [answer.choices[0].message.content for answer in await asyncio.gather(*asking)]
    assert answers == [str(n) for n in range(10) for _ in range(2)]
    ends = await kafka.end_offsets("reply")
    assert {partition: end for partition, end in ends.items() if end} == {0: 10, 15: 10}
