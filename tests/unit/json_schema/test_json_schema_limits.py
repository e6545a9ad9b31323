"""JSON Schemas from outside: what is refused, what is applied, and that no schema takes long to apply."""

import json
import time
from typing import Any

import pytest

from libs.json_schema import MAX_BYTES, MAX_DEPTH, MAX_PARTS, MAX_PATTERN, UnusableSchema, check_schema, mismatch

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": r"^\p{L}+$"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True},
        "boss": {"$ref": "#"},
    },
    "patternProperties": {"^x-": {"type": "number", "multipleOf": 0.5}},
    "additionalProperties": False,
    "required": ["name"],
}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


def doubling(levels: int) -> dict[str, Any]:
    """Each definition refers twice to the next one: two to the power of `levels` steps."""
    steps = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": {**steps, f"a{levels}": {"type": "object"}}}


UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "look-ahead": ({"pattern": "(?=a)b"}, "RE2"),
    "a back reference": ({"items": {"pattern": r"(a)\1"}}, '"items": a pattern is no RE2'),
    "a pattern that grows": ({"pattern": "((a{100}){100}){100}"}, "RE2"),
    "a pattern among names": ({"patternProperties": {"(?!x)": {}}}, "RE2"),
    "a lone surrogate": ({"pattern": "\ud800"}, "RE2"),
    "a long pattern": ({"pattern": "a" * (MAX_PATTERN + 1)}, "characters"),
    "a reference to itself": ({"$ref": "#"}, "without end"),
    "references in a circle": ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#"}}}, "without end"),
    "a dynamic one": ({"$dynamicRef": "#"}, "without end"),
    "another document": ({"$ref": "http://127.0.0.1:9/x"}, "another document"),
    "nowhere": ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "not in the schema"),
    "a reference that is no place": ({"$ref": "#/%zz/~5"}, "not in the schema"),
    "doubling": (doubling(30), "too much work"),
    "another dialect within": ({"allOf": [{"$schema": DRAFT_7, "pattern": "(a+)+$"}]}, "at the top only"),
    "another dialect in data": ({"const": {"$schema": DRAFT_7}}, "at the top only"),
    "an unknown dialect": ({"$schema": "urn:x"}, "no dialect"),
    "depth": (nested(MAX_DEPTH + 1), "deeper"),
    "many parts": ({"enum": [{}] * MAX_PARTS}, "parts"),
    "many bytes": ({"description": "x" * MAX_BYTES}, "bytes"),
    "no number": ({"minimum": float("nan")}, "NaN"),
    "no schema": ({"properties": {"a": {"type": 7}}}, "breaks the rule"),
    "work nobody can count": ({"unevaluatedProperties": False}, "not supported"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_schema_that_could_stall_us_is_refused_with_the_reason(case: str) -> None:
    schema, told = UNUSABLE[case]
    with pytest.raises(UnusableSchema) as raised:
        check_schema(schema)
    assert told in str(raised.value)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("schema", [{}, PERSON, {"$schema": DRAFT_7, **PERSON}, {"maximum": 10**300}, nested(10)])
def test_an_honest_schema_passes(schema: dict[str, Any]) -> None:
    check_schema(schema)


@pytest.mark.parametrize(
    ("value", "keyword"),
    [
        ({"name": "Ada", "tags": ["a", "b"], "x-half": 1.5, "boss": {"name": "Eva"}}, None),
        ({}, "required"),
        ({"name": "Ada Lovelace"}, "pattern"),
        ({"name": "Ada", "tags": ["a", "a"]}, "uniqueItems"),
        ({"name": "Ada", "boss": {"name": ""}}, "pattern"),
        ({"name": "Ada", "x-half": 0.3}, "multipleOf"),
        ({"name": "Ada", "other": 1}, "additionalProperties"),
    ],
)
@pytest.mark.parametrize("dialect", [{}, {"$schema": DRAFT_7}])
def test_values_are_judged_as_json_schema_says(value: Any, keyword: str | None, dialect: dict[str, str]) -> None:
    found = mismatch(value, {**dialect, **PERSON})
    assert (found.validator if found is not None else None) == keyword


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 50_000 + "!"),
        ({"$schema": DRAFT_7, "pattern": "^(a+)+$", "properties": {"a": {"$ref": "#"}}}, {"a": "a" * 50_000 + "!"}),
        ({"patternProperties": {"^(a+)+$": True}, "additionalProperties": False}, {"a" * 50_000 + "!": 1}),
        (doubling(40), {}),
        ({"$ref": "#"}, {}),
        ({"uniqueItems": True}, [{"a": n} for n in range(5_000)]),
        ({"items": {"enum": [{"a": n} for n in range(2_000)]}}, [{}] * 5_000),
        ({"multipleOf": 1e-300}, 10**400),
        ({"items": {"$ref": "#/nowhere"}}, [1]),
        (
            {
                "$defs": {"n": {"required": ["a"], "properties": {"a": {"anyOf": [{"$ref": "#/$defs/n"}] * 2}}}},
                "$ref": "#/$defs/n",
            },
            json.loads('{"a":' * 60 + "{}" + "}" * 60),
        ),
    ],
)
def test_no_schema_and_no_value_take_long(schema: dict[str, Any], value: Any) -> None:
    began = time.process_time()
    assert judged(schema, value) is not None
    # Unbounded, each of these takes minutes, or for ever.
    assert time.process_time() - began < 10


def judged(schema: dict[str, Any], value: Any) -> object:
    try:
        return mismatch(value, schema)
    except UnusableSchema as error:
        return error


def test_a_name_that_is_no_plain_word_is_not_repeated() -> None:
    with pytest.raises(UnusableSchema) as raised:
        check_schema({"properties": {"ada@example.org": {"type": 7}}})
    assert "ada" not in str(raised.value)
