"""Answers that must be JSON: taken out of a code fence, parsed strictly, checked against the upstream's schema.

Says why an answer is not what was asked for, and never quotes it.
"""

import json
import re
from typing import Any, NoReturn

from jsonschema.exceptions import ValidationError
from pydantic import JsonValue

from libs.json_schema import UnusableSchema, mismatch

_FENCED = re.compile(r"\A```[A-Za-z0-9]{0,16}[ \t]*\n(.*?)\n?```\Z", re.DOTALL)
_DEEPEST = 64


class InvalidOutput(ValueError):  # noqa: N818 - it names the reason's code
    """The answer is not the JSON that was asked for. The message says why and does not quote it."""


def unfenced(text: str) -> str:
    """The text without surrounding white space and without one code fence around all of it."""
    bare = text.strip()
    match = _FENCED.match(bare)
    return match[1].strip() if match else bare


def parse(text: str) -> JsonValue:
    """The JSON value of the whole text (RFC 8259: no NaN, no Infinity). Raises InvalidOutput."""
    try:
        value: JsonValue = json.loads(text, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise InvalidOutput(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidOutput(f"not usable as JSON ({type(error).__name__})") from None
    if _depth(value) > _DEEPEST:
        raise InvalidOutput(f"nested deeper than {_DEEPEST} levels")
    return value


def check(value: JsonValue, schema: dict[str, Any] | None) -> None:
    """Against a JSON Schema; without one the value must be an object. Raises InvalidOutput."""
    if schema is None:
        if not isinstance(value, dict):
            raise InvalidOutput("JSON, but not an object")
        return
    try:
        error = mismatch(value, schema)
    except UnusableSchema as problem:
        raise InvalidOutput(f"not to be checked: the request's JSON Schema cannot be used: {problem}") from None
    if error is not None:
        raise InvalidOutput(_explained(error))


def _explained(error: ValidationError) -> str:
    """Where and by which rule, never the value: the reason goes to logs as well."""
    where = ".".join(str(part)[:64] for part in error.absolute_path) or "the whole value"
    return f"{where} breaks the schema's rule {error.validator!r}"


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _depth(value: JsonValue) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for item in level
            for inner in (item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        ]
    return deepest
