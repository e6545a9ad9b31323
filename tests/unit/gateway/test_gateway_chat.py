"""Whole completions: OpenAI's shape, what reaches the bus, and which status each outcome has."""

import asyncio
from typing import Any

import httpx
import pytest

from libs.bus import InMemoryBus, header
from schemas.prompts import PromptCancelled, PromptSubmitted
from services.gateway.routes import SAYS
from tests.unit.gateway.conftest import caller
from tests.unit.gateway.parts import KEY, MODEL, OTHER_KEY, Gateway, Pipeline, outcome_record, serving_gateway, until


def asked(content: object, **fields: object) -> dict[str, object]:
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **fields}


async def post(client: httpx.AsyncClient, body: dict[str, object], **headers: str) -> httpx.Response:
    return await client.post("/v1/chat/completions", json=body, headers=headers)


async def test_an_answer_has_openais_shape_and_tailraces_part(client: httpx.AsyncClient) -> None:
    response = await post(client, asked("echo hello there"))
    answer = response.json()
    assert response.status_code == 200
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    assert answer["model"] == MODEL
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hello there", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert answer["tailrace"]["status"] == "answered"
    assert answer["tailrace"]["response_id"] == f"response-{answer['tailrace']['prompt_id']}"
    assert answer["tailrace"]["model"]["name"] == answer["model"]
    assert response.headers["x-tailrace-prompt-id"] == answer["tailrace"]["prompt_id"]


async def test_what_the_caller_asked_reaches_the_bus(client: httpx.AsyncClient, pipeline: Pipeline) -> None:
    body = asked(
        [{"type": "text", "text": "echo "}, {"type": "text", "text": "me"}],
        max_tokens=7,
        temperature=0.5,
        top_p=1,
        seed=3,
        stop="END",
        response_format={"type": "json_object"},
        user="someone",
        metadata={"k": "v"},
        n=1,
        tools=[],
        tailrace={
            "conversation_id": "c-1",
            "prompt_id": "mine",
            "template": "answer@1",
            "grounding": {"mode": "required", "collections": ["handbook"], "top_k": 2},
        },
    )
    response = await post(client, body)
    assert response.status_code == 200, response.text
    [prompt] = pipeline.prompts
    assert (prompt.prompt_id, prompt.tenant, prompt.conversation_id) == ("mine", "default", "c-1")
    assert prompt.messages[0].content == "echo me"
    assert prompt.parameters.model_dump(exclude_none=True) == {
        "max_completion_tokens": 7,
        "temperature": 0.5,
        "top_p": 1.0,
        "seed": 3,
        "stop": ("END",),
        "response_format": {"type": "json_object"},
    }
    assert prompt.grounding.mode == "required"
    assert prompt.grounding.collections == ("handbook",)
    assert prompt.template == "answer@1"
    assert prompt.model is None
    assert prompt.metadata == {"k": "v"}
    assert prompt.deadline is not None


async def test_the_record_carries_cloudevents_and_the_way_back(
    client: httpx.AsyncClient, in_memory: InMemoryBus
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await post(client, asked("echo x"), traceparent=parent, tracestate="vendor=1")
    [record] = in_memory.records("prompt-submitted")
    assert header(record, "ce_type") == PromptSubmitted.ce_type().encode()
    assert header(record, "ce_source") == b"/tailrace/gateway"
    assert header(record, "reply_to") == b"0"
    assert header(record, "traceparent") == parent.encode()
    assert header(record, "tracestate") == b"vendor=1"
    assert record.key == PromptSubmitted.model_validate_json(record.value or b"").prompt_id.encode()


@pytest.mark.parametrize(
    "parent",
    [
        "nonsense",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ],
)
async def test_an_invalid_trace_context_is_not_handed_on(
    parent: str, client: httpx.AsyncClient, in_memory: InMemoryBus
) -> None:
    assert (await post(client, asked("echo x"), traceparent=parent, tracestate="vendor=1")).status_code == 200
    [record] = in_memory.records("prompt-submitted")
    assert header(record, "traceparent") is None
    assert header(record, "tracestate") is None


async def test_a_key_names_the_tenant(gateway: Gateway, pipeline: Pipeline) -> None:
    async with caller(gateway, OTHER_KEY) as client:
        await post(client, asked("echo x"))
    assert pipeline.prompts[0].tenant == "acme"


async def test_an_answer_that_safety_turned_down_ends_with_content_filter(client: httpx.AsyncClient) -> None:
    response = await post(client, asked("refuse unsafe_answer"))
    assert response.status_code == 200
    [choice] = response.json()["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": "because unsafe_answer"}


async def test_the_same_idempotency_key_gets_the_same_outcome(client: httpx.AsyncClient, pipeline: Pipeline) -> None:
    headers = {"idempotency-key": "order-1"}
    first, second = [await post(client, asked("echo once"), **headers) for _ in range(2)]
    assert first.json()["id"] == second.json()["id"]
    assert first.json()["tailrace"] == second.json()["tailrace"]
    assert len({prompt.prompt_id for prompt in pipeline.prompts}) == 1


async def test_the_same_idempotency_key_of_another_tenant_is_another_prompt(gateway: Gateway) -> None:
    async with caller(gateway, KEY) as one, caller(gateway, OTHER_KEY) as other:
        answers = [await post(client, asked("echo once"), **{"idempotency-key": "k"}) for client in (one, other)]
    assert answers[0].json()["id"] != answers[1].json()["id"]


async def test_an_idempotency_key_with_another_body_is_a_conflict(client: httpx.AsyncClient) -> None:
    await post(client, asked("echo one thing"), **{"idempotency-key": "k"})
    response = await post(client, asked("echo another"), **{"idempotency-key": "k"})
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "idempotency_conflict"


async def test_a_conflict_with_a_prompt_under_way_is_told_at_once(
    client: httpx.AsyncClient, pipeline: Pipeline
) -> None:
    headers = {"idempotency-key": "k"}
    waiting = asyncio.create_task(post(client, asked("silence"), **headers))
    await until(lambda: pipeline.prompts)
    response = await post(client, asked("echo another"), **headers)
    assert response.status_code == 409
    assert len(pipeline.prompts) == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_second_caller_with_the_same_key_joins_the_prompt_under_way(
    gateway: Gateway, client: httpx.AsyncClient, pipeline: Pipeline, in_memory: InMemoryBus
) -> None:
    body = asked("silence", stream=True, tailrace={"prompt_id": "joined"})
    tasks = [asyncio.create_task(post(client, body)) for _ in range(2)]
    await until(lambda: pipeline.prompts and _streams(gateway) == 2)
    await in_memory.append(outcome_record("joined", "both"))
    answers = [(await task).text for task in tasks]
    assert all('"content":"both"' in answer for answer in answers)
    assert len(in_memory.records("prompt-submitted")) == 1


def _streams(gateway: Gateway) -> float:
    return sum(value for _, value in gateway.metric("tailrace.http.streams"))


async def test_a_caller_who_goes_away_cancels_the_prompt(
    client: httpx.AsyncClient, pipeline: Pipeline, in_memory: InMemoryBus
) -> None:
    waiting = asyncio.create_task(post(client, asked("silence", tailrace={"conversation_id": "c-9"})))
    await until(lambda: pipeline.prompts)
    waiting.cancel()
    await until(lambda: in_memory.records("prompt-cancelled"))
    [record] = in_memory.records("prompt-cancelled")
    cancelled = PromptCancelled.model_validate_json(record.value or b"")
    assert cancelled.identity == ("default", pipeline.prompts[0].prompt_id)
    assert record.key == b"c-9"


async def test_a_caller_with_an_idempotency_key_may_come_back_for_the_outcome(
    client: httpx.AsyncClient, pipeline: Pipeline, in_memory: InMemoryBus, gateway: Gateway
) -> None:
    waiting = asyncio.create_task(post(client, asked("silence"), **{"idempotency-key": "k"}))
    await until(lambda: pipeline.prompts)
    waiting.cancel()
    left = {"http.response.status_code": 499}
    await until(lambda: any(left.items() <= a.items() for a, _ in gateway.metric("tailrace.http.requests")))
    await post(client, asked("echo a later prompt"))
    assert not in_memory.records("prompt-cancelled")


async def test_a_prompt_without_outcome_ends_at_its_deadline(in_memory: InMemoryBus, tmp_path: Any) -> None:
    settings: dict[str, Any] = {"request_timeout": 0.2, "outcome_grace": 0.1}
    async with serving_gateway(in_memory, tmp_path, **settings) as gateway, caller(gateway) as client:
        response = await post(client, asked("nobody is there"))
        assert response.status_code == 504
        assert response.json()["error"]["code"] == "deadline_exceeded"
        await until(lambda: in_memory.records("prompt-cancelled"))


async def test_one_caller_too_many_is_told_to_come_back(
    in_memory: InMemoryBus, pipeline: Pipeline, tmp_path: Any
) -> None:
    async with serving_gateway(in_memory, tmp_path, max_pending=1) as gateway, caller(gateway) as client:
        waiting = asyncio.create_task(post(client, asked("silence")))
        await until(lambda: pipeline.prompts)
        response = await post(client, asked("echo x"))
        assert response.status_code == 429
        assert response.json()["error"]["type"] == "rate_limit_error"
        assert response.headers["retry-after"] == "1"
        waiting.cancel()
        await until(lambda: in_memory.records("prompt-cancelled"))
        assert (await post(client, asked("echo x"))).status_code == 200


async def test_what_the_gateway_says_stands_in_its_routes(client: httpx.AsyncClient, in_memory: InMemoryBus) -> None:
    await post(client, asked("echo x"))
    await client.post("/v1/documents", json={"content": "text"})
    said = {topic.TYPE for topic in SAYS}
    own = {"pipeline", "reply"}
    written = {
        record.topic
        for topic in ("prompt-submitted", "prompt-cancelled", "document-submitted", "prompt-accepted", "reply")
        for record in in_memory.records(topic)
        if header(record, "ce_source") == b"/tailrace/gateway"
    }
    assert {"prompt-submitted", "document-submitted"} <= written <= said - own
