"""Answers that must be JSON: what to tell the model, whether it obeyed, and what to tell it if not.

Schemas come from outside: references to other documents are never fetched.
"""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from schemas.base import Message, Parameters

_ANY_OBJECT: dict[str, Any] = {"type": "object"}


class InvalidSchema(ValueError):  # noqa: N818 - named after what is wrong
    """The schema itself is not a JSON Schema; the text says where."""


def wanted_schema(parameters: Parameters) -> dict[str, Any] | None:
    """The schema the answer must satisfy; None where plain text will do. Raises InvalidSchema."""
    if parameters.response_format is None or not parameters.wants_json:
        return None
    schema = parameters.response_format.schema_object or _ANY_OBJECT
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = "/".join(str(part) for part in error.absolute_path) or "the schema"
        raise InvalidSchema(f'"response_format" holds no valid JSON Schema: {where}: {error.message[:300]}') from error
    return schema


def problem(text: str, schema: Mapping[str, Any]) -> str | None:
    """What keeps the text from being a document of the schema; None: nothing."""
    try:
        document = json.loads(text)
    except ValueError as error:
        return f"it is not JSON ({error})"
    validator: Any = Draft202012Validator(schema, registry=Registry())
    try:
        found: ValidationError | None = next(iter(validator.iter_errors(document)), None)
    except (Unresolvable, RecursionError) as error:
        return f"the schema cannot be applied ({type(error).__name__})"
    return None if found is None else f"{found.json_path}: {found.message[:300]}"


def instructed(messages: tuple[Message, ...], schema: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages with the order to answer in JSON before the last one."""
    order = f"Answer with one JSON document and nothing else. It must satisfy this JSON Schema: {json.dumps(schema)}"
    return (*messages[:-1], Message(role="system", content=order), messages[-1])


def corrected(messages: tuple[Message, ...], text: str, what: str) -> tuple[Message, ...]:
    """The conversation with the failed attempt and what was wrong with it."""
    order = f"That was no valid answer: {what}. Answer again, with the JSON document only."
    return (*messages, Message(role="assistant", content=text), Message(role="user", content=order))
