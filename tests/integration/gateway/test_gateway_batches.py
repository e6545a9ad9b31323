"""The official `openai` client's files and batches, unchanged, against a gateway on the real broker."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI

from libs.bus.kafka import KafkaBus
from tests.support.batches import CHAT, calling, ended, line, quick, results, started
from tests.unit.gateway.parts import OTHER_KEY, Gateway, Pipeline, serving_gateway, until

pytestmark = pytest.mark.broker


@pytest.fixture
async def gateway(kafka: KafkaBus, pipeline: Pipeline, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with serving_gateway(kafka, tmp_path, **quick(tmp_path)) as gateway:
        yield gateway


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    async with calling(gateway) as client:
        yield client


async def test_the_client_runs_a_batch_and_reads_what_was_answered_and_what_was_not(
    client: AsyncOpenAI, pipeline: Pipeline
) -> None:
    lines = [line(f"c-{n}", f"echo text {n}", max_completion_tokens=9) for n in range(40)]
    wrong = [
        line("bad", "x", n=2),
        "{broken",
        json.dumps({"custom_id": "url", "method": "POST", "url": "/x", "body": {}}),
    ]
    batch = await started(client, *lines, line("no", "refuse no_source"), *wrong, metadata={"k": "v"})
    assert batch.status in {"validating", "in_progress"}
    done = await ended(client, batch)
    assert done.status == "completed"
    assert done.metadata == {"k": "v"}
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (44, 40, 4)
    assert done.usage is not None
    assert (done.usage.input_tokens, done.usage.output_tokens) == (120, 80)
    stamps = [done.created_at, done.in_progress_at, done.finalizing_at, done.completed_at, done.expires_at]
    assert None not in stamps
    assert stamps == sorted(stamps, key=lambda at: at or 0)

    answers = await results(client, done.output_file_id)
    assert {key: a["response"]["body"]["choices"][0]["message"]["content"] for key, a in answers.items()} == {
        f"c-{n}": f"text {n}" for n in range(40)
    }
    assert {a["response"]["status_code"] for a in answers.values()} == {200}
    errors = await results(client, done.error_file_id)
    assert errors["no"]["response"]["status_code"] == 422
    assert errors["no"]["response"]["body"]["error"]["code"] == "no_source"
    assert errors["bad"]["response"]["body"]["error"]["param"] == "n"
    assert "line 42" in errors["bad"]["response"]["body"]["error"]["message"]
    assert errors["url"]["error"]["code"] == "invalid_url"
    assert "line 43 is not valid JSON" in errors[None]["error"]["message"]  # type: ignore[index]
    assert len({prompt.prompt_id for prompt in pipeline.prompts}) == 41


async def test_files_are_listed_looked_at_read_and_deleted(client: AsyncOpenAI) -> None:
    content = line("a", "echo a").encode()
    files = [await client.files.create(file=(f"{n}.jsonl", content), purpose="batch") for n in range(3)]
    assert (files[0].filename, files[0].bytes, files[0].purpose) == ("0.jsonl", len(content), "batch")
    assert [f.id async for f in client.files.list(limit=2)] == sorted((f.id for f in files), reverse=True)
    assert await client.files.retrieve(files[1].id) == files[1]
    assert (await client.files.content(files[1].id)).content == content
    assert (await client.files.delete(files[1].id)).deleted
    with pytest.raises(openai.NotFoundError) as gone:
        await client.files.retrieve(files[1].id)
    assert gone.value.code == "file_not_found"


async def test_batches_are_listed_page_by_page_the_newest_first(client: AsyncOpenAI) -> None:
    batches = [await started(client, line("a", "echo a")) for _ in range(5)]
    listed = [batch.id async for batch in client.batches.list(limit=2)]
    assert listed == sorted((batch.id for batch in batches), reverse=True)
    page = await client.batches.list(limit=2, after=listed[2])
    assert [batch.id for batch in page.data] == listed[3:]
    assert not page.has_more


async def test_a_custom_id_that_stands_twice_fails_the_batch_and_says_where(client: AsyncOpenAI) -> None:
    done = await ended(client, await started(client, line("a", "echo a"), line("b", "echo b"), line("a", "echo c")))
    assert done.status == "failed"
    assert done.errors is not None
    assert done.errors.data is not None
    [problem] = done.errors.data
    assert (problem.code, problem.line, problem.param) == ("duplicate_custom_id", 3, "custom_id")
    assert "line 1" in (problem.message or "")
    assert done.output_file_id is None


async def test_a_cancelled_batch_asks_nothing_more_and_keeps_what_it_has(
    client: AsyncOpenAI, pipeline: Pipeline, gateway: Gateway
) -> None:
    quiet = [line(f"s-{n}", "silence") for n in range(200)]
    batch = await started(client, line("a", "echo a"), *quiet)
    await until(lambda: len(pipeline.prompts) >= 64)
    cancelling = await client.batches.cancel(batch.id)
    assert cancelling.status == "cancelling"
    assert cancelling.cancelling_at is not None
    done = await ended(client, batch)
    assert done.status == "cancelled"
    assert done.cancelled_at is not None
    assert len(pipeline.prompts) < 100
    assert (await results(client, done.output_file_id))["a"]["response"]["status_code"] == 200
    errors = await results(client, done.error_file_id)
    assert {found["error"]["code"] for found in errors.values()} == {"batch_cancelled"}
    assert len(errors) == 200
    assert (await client.batches.cancel(batch.id)).status == "cancelled"


async def test_a_batch_that_has_ended_cannot_be_cancelled(client: AsyncOpenAI) -> None:
    done = await ended(client, await started(client, line("a", "echo a")))
    with pytest.raises(openai.ConflictError) as refused:
        await client.batches.cancel(done.id)
    assert refused.value.code == "batch_not_cancellable"


async def test_what_is_not_answered_in_the_window_expires(kafka: KafkaBus, pipeline: Pipeline, tmp_path: Path) -> None:
    settings = quick(tmp_path, batch_window=1.0, batch_farewell=0.1)
    async with serving_gateway(kafka, tmp_path, **settings) as gateway, calling(gateway) as client:
        batch = await started(client, line("a", "echo a"), *(line(f"s-{n}", "silence") for n in range(80)))
        done = await ended(client, batch)
        assert done.status == "expired"
        assert done.expired_at is not None
        errors = await results(client, done.error_file_id)
        assert {found["error"]["code"] for found in errors.values()} == {"batch_expired"}
        assert len(errors) == 80
        assert "a" in await results(client, done.output_file_id)


async def test_a_tenant_sees_nothing_of_anothers(client: AsyncOpenAI, gateway: Gateway) -> None:
    batch = await ended(client, await started(client, line("a", "echo a")))
    assert batch.output_file_id is not None
    async with calling(gateway, OTHER_KEY) as other:
        for asking in (
            other.batches.retrieve(batch.id),
            other.batches.cancel(batch.id),
            other.files.content(batch.output_file_id),
            other.files.delete(batch.input_file_id),
            other.batches.create(input_file_id=batch.input_file_id, endpoint=CHAT, completion_window="24h"),
        ):
            with pytest.raises(openai.NotFoundError):
                await asking
        assert [found async for found in other.batches.list()] == []
        assert [found async for found in other.files.list()] == []


async def test_what_is_asked_wrongly_is_the_clients_own_exception(
    kafka: KafkaBus, pipeline: Pipeline, tmp_path: Path
) -> None:
    settings = quick(tmp_path, max_file_bytes=1024, max_batch_lines=2)
    async with serving_gateway(kafka, tmp_path, **settings) as gateway, calling(gateway) as client:
        with pytest.raises(openai.BadRequestError) as purpose:
            await client.files.create(file=b"x", purpose="fine-tune")
        assert purpose.value.param == "purpose"
        with pytest.raises(openai.BadRequestError) as empty:
            await client.files.create(file=b"", purpose="batch")
        assert empty.value.param == "file"
        with pytest.raises(openai.APIStatusError) as large:
            await client.files.create(file=b"x" * 2_000, purpose="batch")
        assert (large.value.status_code, large.value.code) == (413, "file_too_large")
        assert [file async for file in client.files.list()] == []
        file = await client.files.create(file=b'{"a": 1}\n' * 3, purpose="batch")
        with pytest.raises(openai.BadRequestError) as endpoint:
            await client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
        assert endpoint.value.param == "endpoint"
        batch = await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        done = await ended(client, batch)
        assert done.errors is not None
        assert [problem.code for problem in done.errors.data or []] == ["too_many_lines"]
