"""OWASP LLM02: whatever carries a planted value into the gate, no event that leaves it holds the value in clear."""

import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.personal_data import plain
from schemas.base import Message, Parameters, ResponseFormat
from schemas.prompts import PromptCleared, PromptGrounded, SourceText
from tests.unit.safety.conftest import ClearPrompt

PLANTED = (
    "ada@example.org",
    "+49 30 1234567",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "192.168.1.7",
    "536-90-4399",
    "AKIAIOSFODNN7EXAMPLE",
    "hunter2!x",
    "postgres://bob:s3cret@db.example.com",
    "RSSMRA85T10A562S",
    "ad\u200bam@example.org",
)
SAY = {"hunter2!x": "password: hunter2!x"}
PLACES = (
    "question",
    "system",
    "earlier turn",
    "source",
    "title",
    "location",
    "document id",
    "metadata value",
    "metadata key",
    "stop",
    "schema",
    "model",
)

plantings = st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(PLANTED)), min_size=1, max_size=8)


def planted(values: list[tuple[str, str]]) -> PromptGrounded:
    said = {place: " and ".join(SAY.get(v, v) for p, v in values if p == place) or "nothing" for place in PLACES}
    source = SourceText(
        number=1,
        document_id=said["document id"],
        title=said["title"],
        location=said["location"],
        score=1,
        text=f"It says {said['source']}.",
    )
    messages = (
        Message(role="system", content=f"{said['system']}\n[1] {source.title} ({source.location})\n{source.text}"),
        Message(role="assistant", content=said["earlier turn"]),
        Message(role="user", content=f"It is {said['question']}, see?"),
    )
    wanted = ResponseFormat(
        type="json_schema", json_schema={"schema": {"properties": {said["schema"]: {"const": said["schema"]}}}}
    )
    return PromptGrounded.model_validate(
        {
            "prompt_id": "p",
            "tenant": "acme",
            "conversation_id": "c",
            "submitted_at": "2026-01-01T00:00:00Z",
            "messages": messages,
            "upstream_messages": messages[2:],
            "sources": (source,),
            "template": "answer@1",
            "metadata": {"k": said["metadata value"], said["metadata key"]: "v"},
            "model": said["model"],
            "parameters": Parameters(stop=(said["stop"],), response_format=wanted),
        }
    )


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(values=plantings)
def test_no_planted_value_leaves_the_gate_in_clear(
    clear: ClearPrompt, unseal: Callable[[PromptCleared], dict[str, str]], values: list[tuple[str, str]]
) -> None:
    cleared = clear(planted(values))
    assert isinstance(cleared, PromptCleared)
    left = bare(cleared.model_dump_json(exclude={"sealed"}))
    for _, value in values:
        assert bare(value) not in left
    assert not {"hunter2!x", "AKIAIOSFODNN7EXAMPLE"} & set(unseal(cleared).values())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("value", PLANTED)
def test_each_kind_is_masked_in_each_place(clear: ClearPrompt, place: str, value: str) -> None:
    cleared = clear(planted([(place, value)]))
    assert isinstance(cleared, PromptCleared)
    assert bare(value) not in bare(cleared.model_dump_json(exclude={"sealed"}))
    assert len(cleared.masked) == 1


def bare(text: str) -> str:
    """Without what a reader would not miss: spaces, dashes, hidden characters."""
    return re.sub(r"[\s-]", "", plain(text.encode().decode("utf-8")).text)
