"""The rules of the door, without a bus."""

import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base import Message, Parameters, ResponseFormat
from schemas.prompts import PromptSubmitted
from services.ingestion.domain import (
    Limits,
    clean_messages,
    clean_text,
    document_version,
    fingerprint,
    too_long,
    too_many_tokens,
    unanswerable,
    unusable_schema,
)

LIMITS = Limits(characters=10, prompt_tokens=5, completion_tokens=100, document_bytes=1000)


def user(text: str) -> Message:
    return Message(role="user", content=text)


@pytest.mark.parametrize(
    ("given_text", "cleaned"),
    [
        ("e\u0301", "\u00e9"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("nul\x00 bell\x07 escape\x1b[31m del\x7f next\x85", "nul bell escape[31m del next"),
        ("\ufeffmark", "mark"),
        ("\U0001f468\u200d\U0001f469 family", "\U0001f468\u200d\U0001f469 family"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_text_is_nfc_without_control_characters(given_text: str, cleaned: str) -> None:
    assert clean_text(given_text) == cleaned


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)
    assert not [c for c in cleaned if unicodedata.category(c) == "Cc" and c not in "\n\t"]


def test_roles_and_order_of_messages_stay() -> None:
    messages = (Message(role="system", content="a\x00"), user("b"))
    assert clean_messages(messages) == (Message(role="system", content="a"), user("b"))


def test_the_limit_of_characters_holds_for_all_messages_together() -> None:
    assert too_long((user("x" * 5), user("y" * 5)), LIMITS) is None
    refusal = too_long((user("x" * 5), user("y" * 6)), LIMITS)
    assert refusal is not None
    assert refusal.code == "too_long"
    assert "11" in refusal.message
    assert "10" in refusal.message


def test_the_limit_of_tokens_is_inclusive() -> None:
    assert too_many_tokens(5, LIMITS) is None
    refusal = too_many_tokens(6, LIMITS)
    assert refusal is not None
    assert refusal.code == "too_long"


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_an_empty_last_message_is_refused(text: str) -> None:
    refusal = unanswerable((user("something"), user(text)), None, LIMITS)
    assert refusal is not None
    assert refusal.code == "invalid_request"


def test_more_completion_tokens_than_offered_are_refused() -> None:
    assert unanswerable((user("x"),), 100, LIMITS) is None
    assert unanswerable((user("x"),), 101, LIMITS) is not None


PROMPT = PromptSubmitted(prompt_id="p", messages=(user("what?"),))


@pytest.mark.parametrize(
    "same",
    [{"prompt_id": "q"}, {"tenant": "other"}, {"metadata": {"a": "b"}}, {"stream": True}],
)
def test_a_fingerprint_is_that_of_the_question_alone(same: dict[str, object]) -> None:
    assert fingerprint(PROMPT.model_copy(update=same)) == fingerprint(PROMPT)


@pytest.mark.parametrize(
    "other",
    [
        {"messages": (user("what? "),)},
        {"messages": (Message(role="system", content="x"), user("what?"))},
        {"model": "another"},
        {"template": "t@1"},
        {"conversation_id": "c"},
        {"parameters": PROMPT.parameters.model_copy(update={"seed": 1})},
        {"grounding": PROMPT.grounding.model_copy(update={"mode": "off"})},
    ],
)
def test_another_question_has_another_fingerprint(other: dict[str, object]) -> None:
    assert fingerprint(PROMPT.model_copy(update=other)) != fingerprint(PROMPT)


@given(st.tuples(st.text(max_size=5), st.text(max_size=5)), st.tuples(st.text(max_size=5), st.text(max_size=5)))
def test_a_documents_version_changes_with_what_is_indexed(one: tuple[str, str], other: tuple[str, str]) -> None:
    versions = [document_version("text/plain", title.replace("\x00", ""), content) for title, content in (one, other)]
    same = (one[0].replace("\x00", ""), one[1]) == (other[0].replace("\x00", ""), other[1])
    assert (versions[0] == versions[1]) == same


def test_limits_are_values() -> None:
    assert replace(LIMITS, characters=11) != LIMITS


def wanting(schema: dict[str, Any]) -> Parameters:
    return Parameters(response_format=ResponseFormat(type="json_schema", json_schema={"schema": schema}))


def test_a_json_schema_that_could_stall_later_stages_is_refused_at_the_door() -> None:
    refusal = unusable_schema(wanting({"$ref": "#"}))
    assert refusal is not None
    assert refusal.code == "invalid_request"
    assert refusal.message.startswith('"parameters.response_format"')


@pytest.mark.parametrize("parameters", [Parameters(), wanting({"type": "object"})])
def test_prompts_without_a_schema_or_with_an_honest_one_pass(parameters: Parameters) -> None:
    assert unusable_schema(parameters) is None
