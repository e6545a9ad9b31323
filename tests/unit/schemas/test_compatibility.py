"""The comparison of two schemas: each kind of break is found, and nothing else is called one."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model

from schemas.compatibility import Direction, breaking_changes

Fields = dict[str, Any]


class Inner(BaseModel):
    """Something nested."""

    code: Literal["a", "b"]


class InnerLess(BaseModel):
    """The same with a value gone."""

    code: Literal["a"]


def compare(old: Fields, new: Fields, *directions: Direction, forbid: tuple[bool, bool] = (False, False)) -> list[str]:
    before, after = (
        create_model(
            "Event", __config__=ConfigDict(extra="forbid" if strict else "ignore"), **fields
        ).model_json_schema()
        for fields, strict in zip((old, new), forbid, strict=True)
    )
    return breaking_changes(before, after, directions)


@pytest.mark.parametrize("direction", ["accepts", "promises"])
def test_a_removed_field_breaks_writers_and_readers(direction: Direction) -> None:
    assert compare({"a": (int, 1), "b": (int, 1)}, {"a": (int, 1)}, direction) == ['"b" was removed']


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({}, {"a": (int, ...)}, '"a" is newly required'),
        ({"a": (int, 1)}, {"a": (int, ...)}, '"a" is newly required'),
        ({"a": (int, 1)}, {"a": (str, "")}, '"a" no longer takes integer'),
        ({"a": (int | None, 1)}, {"a": (int, 1)}, '"a" no longer takes null'),
        ({"a": (float, 1)}, {"a": (int, 1)}, '"a" no longer takes number'),
        ({"a": (Literal["x", "y"], "x")}, {"a": (Literal["x"], "x")}, '"a" no longer takes y'),
        ({"a": (str, "x")}, {"a": (Literal["x"], "x")}, '"a" no longer takes any value'),
        ({"a": (str, "")}, {"a": (str, Field("", max_length=5))}, '"a" has maxLength 5, it was unlimited'),
        ({"a": (int, Field(1, ge=0))}, {"a": (int, Field(1, ge=1))}, '"a" has minimum 1, it was 0'),
        ({"a": (str, "")}, {"a": (str, Field("", pattern="^x"))}, '"a" has another pattern: ^x'),
        ({"a": (list[Inner], [])}, {"a": (list[InnerLess], [])}, '"a[].code" no longer takes b'),
        ({"a": (dict[str, int], {})}, {"a": (dict[str, str], {})}, '"a{}" no longer takes integer'),
        ({"a": (Inner, ...)}, {"a": (InnerLess, ...)}, '"a.code" no longer takes b'),
        ({"a": (Any, 1)}, {"a": (int, 1)}, '"a" no longer takes any'),
    ],
)
def test_what_writers_could_write_must_stay_allowed(old: Fields, new: Fields, told: str) -> None:
    assert compare(old, new, "accepts") == [told]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"a": (int, ...)}, {"a": (int, 1)}, '"a" may now be missing'),
        ({"a": (int, 1)}, {"a": (int | None, 1)}, '"a" may now be null'),
        ({"a": (int, 1)}, {"a": (float, 1)}, '"a" may now be number'),
        ({"a": (Literal["x"], "x")}, {"a": (Literal["x", "y"], "x")}, '"a" may now be y'),
        ({"a": (Literal["x", "y"], "x")}, {"a": (str, "x")}, '"a" may now be any value'),
        ({"a": (InnerLess, ...)}, {"a": (Inner, ...)}, '"a.code" may now be b'),
    ],
)
def test_what_readers_rely_on_must_stay_true(old: Fields, new: Fields, told: str) -> None:
    assert compare(old, new, "promises") == [told]


def test_unknown_fields_may_not_become_an_error() -> None:
    assert compare({}, {}, "accepts", forbid=(False, True)) == ["the event no longer takes unknown fields"]
    assert compare({}, {}, "accepts", forbid=(True, False)) == []


@pytest.mark.parametrize(
    ("old", "new", "direction"),
    [
        ({}, {"a": (int, 1)}, "accepts"),
        ({}, {"a": (int, ...)}, "promises"),
        ({"a": (int, ...)}, {"a": (int, 1)}, "accepts"),
        ({"a": (int, 1)}, {"a": (float, 1)}, "accepts"),
        ({"a": (int, 1)}, {"a": (Any, 1)}, "accepts"),
        ({"a": (float, 1)}, {"a": (int, 1)}, "promises"),
        ({"a": (int, Field(1, ge=1))}, {"a": (int, Field(1, ge=0))}, "accepts"),
        ({"a": (Literal["x"], "x")}, {"a": (Literal["x", "y"], "x")}, "accepts"),
        ({"a": (Literal["x", "y"], "x")}, {"a": (Literal["x"], "x")}, "promises"),
        ({"reason": (InnerLess, ...)}, {"reason": (Inner, ...)}, "promises"),
    ],
)
def test_growth_is_no_break(old: Fields, new: Fields, direction: Direction) -> None:
    assert compare(old, new, direction) == []


def test_a_schema_that_refers_to_itself_is_walked_once() -> None:
    class Tree(BaseModel):
        children: list["Tree"] = []

    schema = {"properties": {"root": {"$ref": "#/$defs/Tree"}}, "$defs": Tree.model_json_schema()["$defs"]}
    assert breaking_changes(schema, schema, ("accepts", "promises")) == []
