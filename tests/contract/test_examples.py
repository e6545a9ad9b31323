"""Recorded bodies of every event: they parse, come back unchanged, and satisfy the committed JSON Schemas."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas.base import Event
from schemas.publish import EXAMPLES, FOLDER, events, file_name
from schemas.topics import topic_of

TYPES = {event.TYPE: event for event in events()}
FILES = sorted(EXAMPLES.glob("*/*.json"))
EXAMPLE = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
EVENTS = pytest.mark.parametrize("event", events(), ids=lambda event: event.TYPE)


@EXAMPLE
def test_a_recorded_body_still_parses(path: Path) -> None:
    event = _event(path)
    assert type(event).model_validate_json(event.model_dump_json()) == event


@EXAMPLE
def test_a_recorded_body_comes_back_with_all_that_it_said(path: Path) -> None:
    written = json.loads(_event(path).model_dump_json())
    assert _lost(json.loads(path.read_text(encoding="utf-8")), written) == []


@EXAMPLE
def test_a_body_written_by_our_code_satisfies_the_committed_schema(path: Path) -> None:
    schema = json.loads((FOLDER / file_name(TYPES[path.parent.name])).read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(_event(path).model_dump_json()), schema)


# What was recorded of our own outputs may say less than today's: fields have been added since.
@pytest.mark.parametrize(
    "path",
    [path for path in FILES if topic_of(TYPES[path.parent.name]).access != "public-output"],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_a_recorded_input_satisfies_the_committed_schema_as_it_stands(path: Path) -> None:
    schema = json.loads((FOLDER / file_name(TYPES[path.parent.name])).read_text(encoding="utf-8"))
    jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), schema)


@EXAMPLE
def test_a_recorded_body_has_a_record_key(path: Path) -> None:
    assert _event(path).key


@EVENTS
def test_every_event_is_recorded_with_the_least_it_needs(event: type[Event]) -> None:
    body = json.loads((EXAMPLES / event.TYPE / "minimal.json").read_text(encoding="utf-8"))
    required = {name for name, field in event.model_fields.items() if field.is_required()}
    assert required <= body.keys()
    # A document must have one of its two kinds of content.
    assert body.keys() - required <= {"content"}


@EVENTS
def test_every_event_is_recorded_with_every_field(event: type[Event]) -> None:
    body = json.loads((EXAMPLES / event.TYPE / "full.json").read_text(encoding="utf-8"))
    assert body.keys() == event.model_fields.keys()


def test_no_examples_lie_beside_the_known_events() -> None:
    assert {path.parent.name for path in FILES} == set(TYPES)


def _event(path: Path) -> Event:
    return TYPES[path.parent.name].model_validate_json(path.read_text(encoding="utf-8"))


def _lost(said: Any, written: Any, where: str = "") -> list[str]:
    """Paths of what was said and is not in what was written. Defaults may be added."""
    if isinstance(said, dict) and isinstance(written, dict):
        gone = [f"{where}.{name}" for name in said.keys() - written.keys()]
        return [*gone, *(p for n in said.keys() & written.keys() for p in _lost(said[n], written[n], f"{where}.{n}"))]
    if isinstance(said, list) and isinstance(written, list) and len(said) == len(written):
        return [p for i, pair in enumerate(zip(said, written, strict=True)) for p in _lost(*pair, f"{where}[{i}]")]
    # A single stop string is written as a list of one.
    return [] if written in (said, [said]) else [where]
