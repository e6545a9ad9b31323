"""Putting the upstream's own values back where their placeholders stand.

Only placeholders of the prompt's own mapping are touched, in one pass: a value that looks like a placeholder is left
as it is. Within JSON text a value is escaped as JSON strings need it.
"""

import json
import re
from collections.abc import Mapping

from pydantic import JsonValue

from schemas.prompts import Source

_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]{1,40}_[0-9]{1,9}>")


def restore(text: str, values: Mapping[str, str]) -> str:
    """Plain text with its values."""
    return _PLACEHOLDER.sub(lambda match: values.get(match.group(), match.group()), text) if values else text


def restore_json_text(text: str, values: Mapping[str, str]) -> str:
    """JSON text with its values; placeholders stand only inside its strings."""
    return restore(text, {name: json.dumps(value, ensure_ascii=False)[1:-1] for name, value in values.items()})


def restore_json(value: JsonValue, values: Mapping[str, str]) -> JsonValue:
    """Every string of a JSON value, names of members included."""
    if isinstance(value, str):
        return restore(value, values)
    if isinstance(value, list):
        return [restore_json(item, values) for item in value]
    if isinstance(value, dict):
        return {restore(name, values): restore_json(item, values) for name, item in value.items()}
    return value


def restore_source(source: Source, values: Mapping[str, str]) -> Source:
    """A listed source under its own name."""
    return source.model_copy(
        update={
            "document_id": restore(source.document_id, values),
            "title": None if source.title is None else restore(source.title, values),
            "location": None if source.location is None else restore(source.location, values),
        }
    )
