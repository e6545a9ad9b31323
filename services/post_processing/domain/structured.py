"""JSON answers: found in the model's text, parsed, and held against the schema that was asked for."""

import json
import re

import jsonschema
from pydantic import JsonValue

from schemas.base import ResponseFormat

_FENCED = re.compile(r"^```[A-Za-z]*\s*\n(.*?)\n?```\s*$", re.DOTALL)


class InvalidOutputError(ValueError):
    """The model's text is not the JSON that was asked for. Says where, never what stood there."""


def parse(text: str, wanted: ResponseFormat) -> JsonValue:
    """The JSON value in the text. Raises InvalidOutputError."""
    fenced = _FENCED.match(text.strip())
    try:
        value: JsonValue = json.loads(fenced[1] if fenced else text)
    except ValueError as error:
        line, column = getattr(error, "lineno", 1), getattr(error, "colno", 1)
        raise InvalidOutputError(f"the model's answer is not valid JSON (line {line}, column {column})") from None
    if wanted.type == "json_object" and not isinstance(value, dict):
        raise InvalidOutputError("the model's answer is JSON, but not an object")
    _hold_against(value, wanted)
    return value


def _hold_against(value: JsonValue, wanted: ResponseFormat) -> None:
    schema = wanted.schema_object
    if schema is None:
        return
    try:
        jsonschema.validate(value, schema)
    except jsonschema.SchemaError as error:
        raise InvalidOutputError(f"the JSON Schema that was asked for is itself invalid at {error.json_path}") from None
    except jsonschema.ValidationError as error:
        raise InvalidOutputError(
            f"the model's answer breaks the schema at {error.json_path} ({error.validator})"
        ) from None
