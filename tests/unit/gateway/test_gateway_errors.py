"""Errors: OpenAI's shape for everything that can be wrong with a request, and an id on every response."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from structlog.testing import capture_logs

from libs.bus import InMemoryBus
from schemas.topics import CATALOGUE
from tests.unit.gateway.parts import KEY, MODEL, Gateway, Pipeline, answering, hashed, serving_gateway, until

USER = {"role": "user", "content": "echo x"}
GOOD: dict[str, Any] = {"model": MODEL, "messages": [USER]}
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
async def module_bus() -> InMemoryBus:
    return InMemoryBus({topic.name: topic.partitions or 2 for topic in CATALOGUE})


@pytest.fixture(scope="module")
async def pipeline(module_bus: InMemoryBus) -> AsyncIterator[Pipeline]:
    async with answering(module_bus) as pipeline:
        yield pipeline


@pytest.fixture(scope="module")
async def gateway(
    module_bus: InMemoryBus, pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """One for the whole module: errors leave nothing behind."""
    async with serving_gateway(module_bus, tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


def error_of(response: httpx.Response) -> Any:
    """The error of a response, whose shape is checked."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    assert response.headers["x-should-retry"] in {"true", "false"}
    return body["error"]


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"temprature": 1}, "temprature", 'unknown field "temprature"'),
        ({"messages": []}, "messages", "at least 1 item"),
        ({"messages": None}, "messages", "valid array"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "is missing"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "valid array"),
        ({"messages": [{"role": "tool", "content": "x"}, USER]}, "messages[0].role", "'system'"),
        ({"messages": [USER, {"role": "assistant", "content": "x"}]}, None, 'must have the role "user"'),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0].type",
            "'text'",
        ),
        ({"messages": [{**USER, "tool_calls": [{}]}]}, "messages[0].tool_calls", "at most 0 items"),
        ({"tools": [{"type": "function"}]}, "tools", "not offered"),
        ({"n": 2}, "n", "not offered"),
        ({"logprobs": True}, "logprobs", "not offered"),
        ({"moderation": {}}, "moderation", "not offered"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "not offered"),
        ({"modalities": ["audio"]}, "modalities[0]", "not offered"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"temperature": "hot"}, "temperature", "valid number"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": "5"}, "max_tokens", "valid integer"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, None, "one of the two"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "at most 4"),
        ({"seed": 2**63}, "seed", "less than or equal"),
        ({"stream": 1}, "stream", "valid boolean"),
        ({"stream_options": {"include_usage": True}}, None, '"stream": true'),
        ({"response_format": {"type": "json_schema"}}, "response_format", "json_schema"),
        ({"metadata": {"k": 1}}, "metadata.k", "valid string"),
        ({"tailrace": {"grounding": {"mode": "maybe"}}}, "tailrace.grounding.mode", "'auto'"),
        ({"tailrace": {"template": "answer"}}, "tailrace.template", "pattern"),
        ({"tailrace": {"conversation": "c"}}, "tailrace.conversation", "unknown field"),
        ({"tailrace": {"prompt_id": "x" * 129}}, "tailrace.prompt_id", "128"),
    ],
)
async def test_a_wrong_field_is_named(
    change: dict[str, Any], param: str | None, words: str, client: httpx.AsyncClient, pipeline: Pipeline
) -> None:
    before = len(pipeline.prompts)
    response = await client.post(CHAT, json={**GOOD, **change})
    assert response.status_code == 400, response.text
    error = error_of(response)
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert words in error["message"]
    assert len(pipeline.prompts) == before


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("invalid_request", 400, "invalid_request"),
        ("too_long", 400, "context_length_exceeded"),
        ("unsafe_prompt", 400, "content_filter"),
        ("unknown_template", 400, "unknown_template"),
        ("unknown_model", 404, "model_not_found"),
        ("idempotency_conflict", 409, "idempotency_conflict"),
        ("no_source", 422, "no_source"),
        ("cancelled", 499, "cancelled"),
        ("internal_error", 500, "internal_error"),
        ("invalid_output", 500, "invalid_output"),
        ("engine_unavailable", 503, "engine_unavailable"),
        ("deadline_exceeded", 504, "deadline_exceeded"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_reason_has_its_status_and_code(
    code: str, status: int, told: str, stream: bool, client: httpx.AsyncClient
) -> None:
    response = await client.post(
        CHAT, json={**GOOD, "messages": [{"role": "user", "content": f"refuse {code}"}], "stream": stream}
    )
    assert response.status_code == status
    assert error_of(response)["code"] == told
    assert error_of(response)["message"] == f"because {code}"
    assert error_of(response)["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    assert response.headers["x-should-retry"] == ("true" if code == "engine_unavailable" else "false")
    assert ("retry-after" in response.headers) == (code == "engine_unavailable")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"model": "\\ud800"}', b"[" * 100_000, b'{"a": NaN}'],
)
async def test_a_body_that_is_no_request_is_told_so(body: bytes, client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert error_of(response)["type"] == "invalid_request_error"


async def test_an_error_never_quotes_the_content(client: httpx.AsyncClient) -> None:
    body = {**GOOD, "messages": [{"role": "user", "content": {"secret": "4111 1111"}}], "temperature": "4111 1111"}
    assert "4111" not in (await client.post(CHAT, json=body)).text


async def test_an_unknown_model_is_a_404_as_openai_has_it(client: httpx.AsyncClient) -> None:
    for response in (
        await client.post(CHAT, json={**GOOD, "model": "gpt-4o"}),
        await client.get("/v1/models/gpt-4o"),
    ):
        assert response.status_code == 404
        assert error_of(response)["code"] == "model_not_found"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_content_type_is_415(content_type: str, client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, content=json.dumps(GOOD), headers={"content-type": content_type})
    assert response.status_code == 415
    assert error_of(response)["param"] == "content-type"


async def test_a_compressed_body_is_415(client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, json=GOOD, headers={"content-encoding": "gzip"})
    assert response.status_code == 415


async def test_a_body_too_large_is_413_while_it_is_read(client: httpx.AsyncClient) -> None:
    body = {**GOOD, "messages": [{"role": "user", "content": "x" * 2_000_000}]}
    response = await client.post(CHAT, json=body)
    assert response.status_code == 413
    assert error_of(response)["code"] == "body_too_large"
    assert (await client.post(CHAT, json=GOOD)).status_code == 200


async def test_a_body_without_a_stated_length_is_bounded_too(client: httpx.AsyncClient) -> None:
    async def endless() -> Any:
        for _ in range(40):
            yield b" " * 50_000

    response = await client.post(CHAT, content=endless(), headers={"content-type": "application/json"})
    assert response.status_code == 413


async def test_a_body_that_does_not_arrive_is_408(in_memory: InMemoryBus, tmp_path: Path) -> None:
    async with serving_gateway(in_memory, tmp_path, body_timeout=0.1) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(gateway.url).port)
        writer.write(
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
            "content-type: application/json\r\ncontent-length: 100\r\n\r\n{".encode()
        )
        assert b" 408 " in await reader.readline()
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer tr-wrong", "Basic dXNlcjpwYXNz", "tr-test-key"])
@pytest.mark.parametrize("path", ["/v1/models", CHAT, "/v1/documents"])
async def test_without_a_good_key_there_is_401(header: str | None, path: str, gateway: Gateway) -> None:
    headers = {} if header is None else {"authorization": header}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, trust_env=False) as client:
        response = await (client.get(path) if path == "/v1/models" else client.post(path, content=b"{"))
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert error_of(response)["code"] in {"missing_api_key", "invalid_api_key"}


async def test_unknown_routes_and_methods_have_the_same_shape(client: httpx.AsyncClient) -> None:
    unknown = await client.get("/v1/embeddings")
    assert (unknown.status_code, error_of(unknown)["code"]) == (404, "unknown_url")
    method = await client.get(CHAT)
    assert (method.status_code, error_of(method)["code"]) == (405, "method_not_allowed")
    assert method.headers["allow"] == "POST"
    slash = await client.post(f"{CHAT}/", json=GOOD)
    assert slash.status_code == 404


@pytest.mark.parametrize("key", [b"x" * 256, b"n\xe4h"])
async def test_an_idempotency_key_that_is_none_is_told_so(key: bytes, client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, json=GOOD, headers={b"idempotency-key": key})
    assert response.status_code == 400
    assert "idempotency-key" in error_of(response)["param"].lower()


async def test_two_names_for_one_prompt_are_one_too_many(client: httpx.AsyncClient) -> None:
    body = {**GOOD, "tailrace": {"prompt_id": "mine"}}
    response = await client.post(CHAT, json=body, headers={"idempotency-key": "k"})
    assert response.status_code == 400
    assert error_of(response)["param"] == "tailrace.prompt_id"


async def test_a_valid_request_id_is_kept_and_another_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.get("/v1/models", headers={"x-request-id": "mine-1"})
    assert kept.headers["x-request-id"] == "mine-1"
    for wrong in ("x" * 129, "a b", "{}"):
        replaced = await client.get("/v1/models", headers={"x-request-id": wrong})
        assert replaced.headers["x-request-id"].startswith("req-")


async def test_the_access_log_says_who_and_what_but_no_content(client: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        body = {**GOOD, "messages": [{"role": "user", "content": "echo very secret words"}]}
        answer = await client.post(CHAT, json=body, headers={"x-request-id": "mine-2"})
        await until(lambda: any(line["event"] == "request" for line in lines))
    [line] = [line for line in lines if line["event"] == "request"]
    assert line["request_id"] == "mine-2"
    assert line["status"] == 200
    assert line["route"] == CHAT
    assert line["tenant"] == "default"
    assert line["prompt_id"] == answer.json()["tailrace"]["prompt_id"]
    assert "secret" not in str(lines)
    assert KEY not in str(lines)
    assert hashed(KEY) not in str(lines)


async def test_requests_are_counted_by_route_and_status(client: httpx.AsyncClient, gateway: Gateway) -> None:
    await client.post(CHAT, json=GOOD)
    await client.get("/nowhere/4711")
    attributes = [attributes for attributes, _ in gateway.metric("tailrace.http.requests")]
    assert {"http.request.method": "POST", "http.route": CHAT, "http.response.status_code": 200} in attributes
    assert {"http.request.method": "GET", "http.route": "none", "http.response.status_code": 404} in attributes
