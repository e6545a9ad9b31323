"""The committed JSON Schemas: equal to the code's, and compatible with what was released."""

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.base import Event
from schemas.compatibility import Direction, breaking_changes
from schemas.publish import FOLDER, RELEASED, as_text, events, file_name, json_schema, released_name
from schemas.topics import topic_of

EVENTS = pytest.mark.parametrize("event", events(), ids=lambda event: event.TYPE)

DIRECTIONS: dict[str, tuple[Direction, ...]] = {
    "public-input": ("accepts",),
    "public-output": ("promises",),
    # Written and read by ourselves, by old and new processes side by side while an upgrade rolls.
    "internal": ("accepts", "promises"),
}


@EVENTS
def test_a_committed_schema_is_the_one_that_the_code_has(event: type[Event]) -> None:
    committed = (FOLDER / file_name(event)).read_text(encoding="utf-8")
    assert committed == as_text(json_schema(event)), "write it anew with: python -m schemas.publish"


@EVENTS
def test_an_event_stays_compatible_with_its_released_version(event: type[Event]) -> None:
    released = RELEASED / released_name(event)
    if not released.exists():
        pytest.skip(f"{event.ce_type()} has not been released yet")
    breaks = breaking_changes(_read(released), json_schema(event), DIRECTIONS[topic_of(event).access])
    assert not breaks, f"raise {event.__name__}.VERSION, or undo: {'; '.join(breaks)}"


def test_no_schema_of_an_event_that_is_gone_is_left_behind() -> None:
    assert {path.name for path in FOLDER.glob("*.json")} == {file_name(event) for event in events()}


def test_every_released_schema_names_its_event_and_version() -> None:
    for path in RELEASED.glob("*.json"):
        name, _, version = path.stem.rpartition(".v")
        assert _read(path)["$id"] == f"urn:tailrace:{name}:v{version}"


@pytest.mark.parametrize(
    "name", [*("prompt-submitted", "prompt-cancelled", "document-submitted", "feedback-submitted", "subject-erased")]
)
def test_unknown_fields_are_an_error_on_public_input(name: str) -> None:
    assert _read(FOLDER / f"{name}.json")["additionalProperties"] is False


@pytest.mark.parametrize("name", ["response-ready", "document-refused"])
def test_readers_find_every_field_of_public_output(name: str) -> None:
    schema = _read(FOLDER / f"{name}.json")
    assert set(schema["required"]) == set(schema["properties"])


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
