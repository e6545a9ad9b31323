"""JSON Schemas of all events, as committed under `schemas/json`: `python -m schemas.publish` writes them anew.

With `--release` they also become the baseline that later versions are compared with (`schemas/json/released`).
What upstreams write is described as they may write it; what they read, as they can rely on finding it.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema

from schemas.base import Event
from schemas.topics import CATALOGUE, topic_of

FOLDER = Path(__file__).parent / "json"
RELEASED = FOLDER / "released"
EXAMPLES = Path(__file__).parent / "examples"
"""`<event type>/<name>.json`: bodies that must parse for ever."""

Schema = dict[str, Any]


def events() -> tuple[type[Event], ...]:
    """Every event type of the catalogue, in its order."""
    return tuple(dict.fromkeys(topic.event for topic in CATALOGUE if topic.event is not None))


def json_schema(event: type[Event]) -> Schema:
    """The JSON Schema (draft 2020-12) of an event's body."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:tailrace:{event.TYPE}:v{event.VERSION}",
        **event.model_json_schema(mode=mode_of(event), schema_generator=Generator),
    }


def mode_of(event: type[Event]) -> Literal["validation", "serialization"]:
    """Whether an event is described as one may write it, or as readers find it."""
    return "serialization" if topic_of(event).access == "public-output" else "validation"


class Generator(GenerateJsonSchema):
    """Our code writes every field of an event, also those that have a default."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return self.mode == "serialization" or super().field_is_required(field, total)


def file_name(event: type[Event]) -> str:
    """Of the event's current schema."""
    return f"{event.TYPE}.json"


def released_name(event: type[Event]) -> str:
    """Of the schema that this version of the event was released with."""
    return f"{event.TYPE}.v{event.VERSION}.json"


def as_text(document: Schema) -> str:
    """The document as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def files(*, release: bool = False) -> Iterator[tuple[Path, str]]:
    """Each file to commit, with its text."""
    for event in events():
        text = as_text(json_schema(event))
        yield FOLDER / file_name(event), text
        if release:
            yield RELEASED / released_name(event), text


def main(arguments: Sequence[str]) -> int:
    """Write the files; the exit status."""
    for path, text in files(release="--release" in arguments):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
