"""Feedback and erasures over HTTP: what is in the log when the receipt comes, and what is told to be wrong."""

from typing import Any

import httpx
import pytest

from libs.bus import InMemoryBus
from schemas.feedback import FeedbackSubmitted, SubjectErased
from schemas.responses import response_id_of
from tests.unit.gateway.conftest import caller
from tests.unit.gateway.parts import OTHER_KEY, Gateway

THUMB: dict[str, Any] = {"response_id": "resp_1", "kind": "thumb", "value": True}


def said(bus: InMemoryBus) -> list[FeedbackSubmitted]:
    return [FeedbackSubmitted.model_validate_json(r.value or b"") for r in bus.records("feedback-submitted")]


async def test_feedback_is_in_the_log_when_its_receipt_comes(client: httpx.AsyncClient, in_memory: InMemoryBus) -> None:
    body = {"feedback_id": "f-1", "response_id": "resp_1", "kind": "edit", "value": "Better.", "comment": "c"}
    response = await client.post("/v1/feedback", json={**body, "subject": "s", "consent": {"training": True}})
    assert response.status_code == 202
    assert response.json() == {
        "id": "f-1",
        "object": "feedback",
        "response_id": "resp_1",
        "kind": "edit",
        "status": "submitted",
    }
    [event] = said(in_memory)
    assert (event.tenant, event.value, event.comment, event.subject) == ("default", "Better.", "c", "s")
    assert event.consent.training
    [record] = in_memory.records("feedback-submitted")
    assert record.key == b"resp_1"


async def test_the_id_of_a_completion_names_its_response(client: httpx.AsyncClient, in_memory: InMemoryBus) -> None:
    body = {"response_id": "chatcmpl-prompt-1", "kind": "choice", "value": "chatcmpl-prompt-2"}
    response = await client.post("/v1/feedback", json=body)
    [event] = said(in_memory)
    assert (event.response_id, event.value) == tuple(response_id_of("default", f"prompt-{n}") for n in (1, 2))
    assert response.json()["response_id"] == event.response_id


async def test_a_text_is_no_id_of_a_completion(client: httpx.AsyncClient, in_memory: InMemoryBus) -> None:
    body = {"response_id": "resp_1", "kind": "edit", "value": "chatcmpl-is what I would say."}
    await client.post("/v1/feedback", json=body)
    assert [event.value for event in said(in_memory)] == ["chatcmpl-is what I would say."]


async def test_an_id_and_a_time_are_made_where_none_is_given(client: httpx.AsyncClient, in_memory: InMemoryBus) -> None:
    ids = {(await client.post("/v1/feedback", json=THUMB)).json()["id"] for _ in range(2)}
    assert len(ids) == 2
    assert {event.feedback_id for event in said(in_memory)} == ids
    assert all(event.created_at is not None for event in said(in_memory))


async def test_the_same_idempotency_key_makes_the_same_feedback_id(client: httpx.AsyncClient) -> None:
    headers = {"idempotency-key": "k"}
    ids = {(await client.post("/v1/feedback", json=THUMB, headers=headers)).json()["id"] for _ in range(2)}
    assert len(ids) == 1


async def test_the_key_names_the_tenant(gateway: Gateway, in_memory: InMemoryBus) -> None:
    async with caller(gateway, OTHER_KEY) as other:
        assert (await other.post("/v1/feedback", json=THUMB)).status_code == 202
        assert (await other.delete("/v1/subjects/person-17")).status_code == 202
    assert [event.tenant for event in said(in_memory)] != ["default"]
    [record] = in_memory.records("subject-erased")
    assert SubjectErased.model_validate_json(record.value or b"").tenant == said(in_memory)[0].tenant


async def test_a_person_is_forgotten_by_his_pseudonym(client: httpx.AsyncClient, in_memory: InMemoryBus) -> None:
    response = await client.delete("/v1/subjects/person%2017")
    assert (response.status_code, response.json()["subject"]) == (202, "person 17")
    [record] = in_memory.records("subject-erased")
    assert (record.key, SubjectErased.model_validate_json(record.value or b"").subject) == (b"person 17", "person 17")


@pytest.mark.parametrize(
    ("change", "param", "told"),
    [
        ({"value": 3}, None, "true (up) or false (down)"),
        ({"kind": "rating", "value": 6}, None, "1 to 5"),
        ({"kind": "rating", "value": True}, None, "1 to 5"),
        ({"kind": "rating", "value": 4.5}, "value", "a whole number"),
        ({"kind": "edit", "value": "x" * 65_537}, None, "65536"),
        ({"kind": "edit", "value": " "}, None, "the better text"),
        ({"kind": "report", "value": "Very bad!"}, None, "a category"),
        ({"kind": "choice", "value": "resp_1"}, None, "another response"),
        ({"kind": "applause"}, "kind", ""),
        ({"response_id": None}, "response_id", ""),
        ({"comment": "x" * 4097}, "comment", "4096"),
        ({"consent": {"training": "perhaps"}}, "consent.training", ""),
        ({"consent": {"everything": True}}, "consent.everything", "unknown field"),
        ({"created_at": "2026-01-01T00:00:00"}, "created_at", ""),
        ({"tenant": "acme"}, "tenant", "unknown field"),
    ],
)
async def test_what_is_wrong_is_said_in_openais_form(
    change: dict[str, Any], param: str | None, told: str, client: httpx.AsyncClient, in_memory: InMemoryBus
) -> None:
    response = await client.post("/v1/feedback", json={**THUMB, **change})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert told in error["message"]
    assert not said(in_memory)


async def test_a_megabyte_of_comment_is_too_much(client: httpx.AsyncClient, in_memory: InMemoryBus) -> None:
    response = await client.post("/v1/feedback", json={**THUMB, "comment": "x" * 1_000_000})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")
    assert not said(in_memory)


async def test_nobody_judges_without_a_key(gateway: Gateway, in_memory: InMemoryBus) -> None:
    async with caller(gateway, "tr-nobody") as stranger:
        assert (await stranger.post("/v1/feedback", json=THUMB)).status_code == 401
        assert (await stranger.delete("/v1/subjects/s")).status_code == 401
    assert not said(in_memory)
