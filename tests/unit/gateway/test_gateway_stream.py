"""Streams: the events in OpenAI's order, text only in order, the rest from the outcome, errors in mid-stream."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from libs.bus import InMemoryBus
from tests.unit.gateway.conftest import caller
from tests.unit.gateway.parts import MODEL, Gateway, Pipeline, outcome_record, serving_gateway, until


@asynccontextmanager
async def stream(client: httpx.AsyncClient, content: str, **fields: object) -> AsyncIterator[httpx.Response]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}], "stream": True, **fields}
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        yield response


async def events(client: httpx.AsyncClient, content: str, **fields: object) -> list[Any]:
    """Each event's data, parsed; `[DONE]` as it is."""
    async with stream(client, content, **fields) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in response.aiter_lines()]
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [item if item == "[DONE]" else json.loads(item) for item in data]


def text_of(chunks: list[Any]) -> str:
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c != "[DONE]" and c["choices"])


async def test_a_stream_has_openais_order(client: httpx.AsyncClient) -> None:
    role, *texts, end, done = await events(client, "echo one two")
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["choices"][0]["delta"] for chunk in texts] == [{"content": "one "}, {"content": "two "}]
    assert end["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert done == "[DONE]"
    assert {chunk["object"] for chunk in (role, *texts, end)} == {"chat.completion.chunk"}
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in (role, *texts, end)}) == 1
    assert not any("usage" in chunk for chunk in (role, *texts, end))
    assert end["tailrace"]["status"] == "answered"
    assert not any("tailrace" in chunk for chunk in (role, *texts))


async def test_usage_comes_last_and_only_when_asked_for(client: httpx.AsyncClient) -> None:
    *chunks, usage, done = await events(client, "echo one", stream_options={"include_usage": True})
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert all(chunk["usage"] is None for chunk in chunks)
    assert done == "[DONE]"


async def test_what_a_gap_withholds_comes_from_the_outcome(client: httpx.AsyncClient) -> None:
    chunks = await events(client, "gap one two three")
    assert text_of(chunks) == "one two three"
    assert [c["choices"][0]["delta"]["content"] for c in chunks[1:3]] == ["one ", "two three"]


async def test_a_text_that_comes_twice_is_sent_once(client: httpx.AsyncClient) -> None:
    assert text_of(await events(client, "twice one two")).strip() == "one two"


async def test_a_stream_that_does_not_add_up_says_what_the_final_text_is(client: httpx.AsyncClient) -> None:
    chunks = await events(client, "other one two")
    assert text_of(chunks) == "one two "
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-2]["tailrace"]["text"] == "Something else."


async def test_an_answer_turned_down_under_way_ends_with_content_filter(client: httpx.AsyncClient) -> None:
    chunks = await events(client, "half unsafe_answer")
    assert text_of(chunks) == "Half an answer. "
    assert chunks[-3]["choices"][0]["delta"] == {"refusal": "because unsafe_answer"}
    assert chunks[-2]["choices"][0]["finish_reason"] == "content_filter"
    assert chunks[-1] == "[DONE]"


async def test_a_failure_under_way_is_an_error_event_and_the_end(client: httpx.AsyncClient) -> None:
    *_, last = await events(client, "half internal_error")
    assert last == {
        "error": {
            "message": "because internal_error",
            "type": "server_error",
            "param": None,
            "code": "internal_error",
        }
    }


async def test_a_silent_stream_is_kept_open_by_comments(
    in_memory: InMemoryBus, pipeline: Pipeline, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"keep_alive": 0.05, "stream_hold": 0, "request_timeout": 20}
    async with (
        serving_gateway(in_memory, tmp_path, **settings) as gateway,
        caller(gateway) as client,
        stream(client, "silence") as response,
    ):
        lines = response.aiter_lines()
        async with asyncio.timeout(20):
            while await anext(lines) != ": keep-alive":
                continue


async def test_the_first_text_does_not_wait_for_the_outcome(client: httpx.AsyncClient) -> None:
    async with stream(client, "part first") as response:
        async for line in response.aiter_lines():
            if '"content":"first"' in line:
                return
    raise AssertionError("the stream ended without its text")


async def test_a_caller_who_leaves_a_stream_cancels_the_prompt(
    client: httpx.AsyncClient, pipeline: Pipeline, in_memory: InMemoryBus, gateway: Gateway
) -> None:
    async with stream(client, "part first") as response:
        await anext(response.aiter_lines())
    await until(lambda: in_memory.records("prompt-cancelled"))
    await until(lambda: sum(value for _, value in gateway.metric("tailrace.http.streams")) == 0)


async def test_a_stream_beyond_its_deadline_ends_with_an_error_event(
    in_memory: InMemoryBus, pipeline: Pipeline, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"request_timeout": 0.3, "outcome_grace": 0.1}
    async with serving_gateway(in_memory, tmp_path, **settings) as gateway, caller(gateway) as client:
        *_, last = await events(client, "part first")
        assert last["error"]["code"] == "deadline_exceeded"


async def test_a_stop_lets_open_requests_end(in_memory: InMemoryBus, pipeline: Pipeline, tmp_path: Path) -> None:
    async with serving_gateway(in_memory, tmp_path, grace=20) as gateway, caller(gateway) as client:
        asking = asyncio.create_task(events(client, "silence", tailrace={"prompt_id": "late"}))
        await until(lambda: pipeline.prompts)
        gateway.stop.set()
        await until(lambda: not _listens(gateway))
        await in_memory.append(outcome_record("late", "At last."))
        assert text_of(await asking) == "At last."


async def test_a_stop_sends_away_who_still_waits_after_the_grace(
    in_memory: InMemoryBus, pipeline: Pipeline, tmp_path: Path
) -> None:
    async with serving_gateway(in_memory, tmp_path, grace=0.1) as gateway, caller(gateway) as client:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "silence"}]}
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=body))
        await until(lambda: pipeline.prompts)
        gateway.stop.set()
        response = await asking
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "shutting_down"
        assert response.headers["x-should-retry"] == "true"
        await gateway.task
    assert in_memory.records("prompt-cancelled")


def _listens(gateway: Gateway) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(gateway.url).port or 0)) == 0
