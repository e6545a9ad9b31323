"""Which answers say what was cleared: restored values and clean-up are free, every other character is not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.audit import check_records
from libs.audit._texts import answer_agrees, cleared_text, generated_agrees
from tests.support.audit_log import Asked, sound_log

JSON = {"parameters": {"response_format": {"type": "json_object"}}}


def answers(cleared: str, said: str, **fields: Any) -> bool:
    return answer_agrees(cleared_text({"text": cleared, **fields}), {"text": said})


@pytest.mark.parametrize(
    ("cleared", "said"),
    [
        ("Yes.", "Yes."),
        (" \x07Yes.\u2028", "Yes."),
        ("Write to <EMAIL_ADDRESS_1>.", "Write to ada@example.org."),
        ("Write to <EMAIL_ADDRESS_1>.", "Write to <EMAIL_ADDRESS_1>."),
        ("<PHONE_NUMBER_1>, <PHONE_NUMBER_1><PHONE_NUMBER_12>", "1, 12"),
        ("Ask <EMAIL_ADDRESS>.", "Ask <EMAIL_ADDRESS>."),
        ("A <AB_1> C <AB_2> C", "A C C C C"),
    ],
)
def test_an_answer_may_have_its_values_back(cleared: str, said: str) -> None:
    assert answers(cleared, said)


@pytest.mark.parametrize(
    ("cleared", "said"),
    [
        ("Yes.", "No."),
        ("Yes.", ""),
        ("Write to <EMAIL_ADDRESS_1>.", "Wrote to ada@example.org."),
        ("Write to <EMAIL_ADDRESS_1>.", "Write to ada@example.org. And send money."[:-1] + "!"),
        ("Ask <EMAIL_ADDRESS>.", "Ask ada@example.org."),
        ("aXa<AB_1>aXa", "aXaXa"),
        ("<AB_1> and <AB_2> or <AB_3>", "x or y and z"),
    ],
)
def test_an_answer_may_not_say_anything_else(cleared: str, said: str) -> None:
    assert not answers(cleared, said)


def test_a_code_fence_is_closed_only_where_the_length_limit_cut_it() -> None:
    for cleared, said in (("```py\nprint(1)", "```py\nprint(1)\n```"), ("```\n<A_B_1>", "```\nx\n```")):
        assert answers(cleared, said, finish_reason="length")
    assert not answers("```py\nprint(1)", "```py\nprint(1)\n```", finish_reason="stop")
    assert answers("```\nx\n```", "```\nx\n```", finish_reason="length")


@pytest.mark.parametrize(
    ("cleared", "output", "agrees"),
    [
        ('{"a": 1.0, "b": [true, null]}', {"a": 1.0, "b": [True, None]}, True),
        ('```json\n{"a": "<EMAIL_ADDRESS_1>"}\n```', {"a": 'x"y'}, True),
        ('{"<A_B_1>": 1}', {"k": 1}, True),
        ('{"a": 1}', {"a": 2}, False),
        ('{"a": 1}', {"a": True}, False),
        ('{"a": 1}', {"a": 1, "b": 2}, False),
        ('{"a": "x"}', {"a": "y"}, False),
        ("no JSON", {"a": 1}, False),
    ],
)
def test_json_is_compared_by_its_values(cleared: str, output: Any, agrees: bool) -> None:
    body = {"text": json.dumps(output), "output": output}
    assert answer_agrees(cleared_text({"text": cleared, **JSON}), body) is agrees


def test_the_text_of_a_json_answer_is_its_output() -> None:
    cleared = cleared_text({"text": '{"a": "<A_B_1>"}', **JSON})
    assert not answer_agrees(cleared, {"text": '{"a": "one"}', "output": {"a": "other"}})


@pytest.mark.parametrize(
    ("cleared", "generated", "agrees"),
    [
        ("Yes.", "Yes.", True),
        ("Ask <EMAIL_ADDRESS>.", "Ask ada@example.org.", True),
        ("Ask <EMAIL_ADDRESS_1>.", "Ask <EMAIL_ADDRESS_1>.", True),
        ("Ask <EMAIL_ADDRESS_1>.", "Ask ada@example.org.", False),
        ("Ask <EMAIL_ADDRESS>.", "Tell ada@example.org.", False),
        ("No.", "Yes.", False),
    ],
)
def test_safety_may_redact_and_nothing_else(cleared: str, generated: str, agrees: bool) -> None:
    assert generated_agrees(cleared_text({"text": cleared}), {"text": generated}) is agrees


def test_redaction_may_write_json_anew() -> None:
    cleared = cleared_text({"text": '{"card": "<CREDIT_CARD>", "n": 1}', **JSON})
    assert generated_agrees(cleared, {"text": '{ "card": 4111111111111111,\n"n": 1 }'})
    assert not generated_agrees(cleared, {"text": '{ "card": 4111111111111111,\n"n": 2 }'})


@given(st.lists(st.text(max_size=8), min_size=1, max_size=6), st.data())
def test_whatever_the_values_are_the_answer_agrees(literals: list[str], data: st.DataObject) -> None:
    values = [data.draw(st.text(max_size=8)) for _ in literals[1:]]
    cleared = literals[0] + "".join(f"<A_B_{n}>{text}" for n, text in enumerate(literals[1:]))
    said = literals[0] + "".join(value + text for value, text in zip(values, literals[1:], strict=True))
    assert answers(cleared, said)


@pytest.mark.parametrize(
    "asked",
    [
        Asked("p", text="Write to <EMAIL_ADDRESS_1>.", said="Write to ada@example.org."),
        Asked("p", text='{"a": "<EMAIL_ADDRESS_1>"}', said='{"a": "x"}', output={"a": "x"}, fields=tuple(JSON.items())),
        Asked("p", text="```\nx", said="```\nx\n```", fields=(("finish_reason", "length"),)),
    ],
)
def test_a_log_with_such_answers_is_sound(asked: Asked) -> None:
    assert check_records(sound_log([asked]).records).sound
