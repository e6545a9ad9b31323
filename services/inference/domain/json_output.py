"""Answers that must be JSON: what to tell the model, whether it obeyed, and what to tell it if not.

Schemas come from outside, masked by safety since they were checked at the door: so they are checked again.
"""

import json
from collections.abc import Mapping
from typing import Any

from libs.json_schema import UnusableSchema, check_schema, mismatch
from schemas.base import Message, Parameters

_ANY_OBJECT: dict[str, Any] = {"type": "object"}


def wanted_schema(parameters: Parameters) -> dict[str, Any] | None:
    """The schema the answer must satisfy; None where plain text will do. Raises UnusableSchema."""
    if parameters.response_format is None or not parameters.wants_json:
        return None
    schema = parameters.response_format.schema_object or _ANY_OBJECT
    check_schema(schema)
    return schema


def problem(text: str, schema: Mapping[str, Any]) -> str | None:
    """What keeps the text from being a document of the schema; None: nothing."""
    try:
        found = mismatch(json.loads(text), schema)
    except UnusableSchema as error:
        return f"the schema cannot be applied: {error}"
    except RecursionError:
        return "it is nested too deep"
    except ValueError as error:
        return f"it is not JSON ({error})"
    return None if found is None else f"{found.json_path}: {found.message[:300]}"


def instructed(messages: tuple[Message, ...], schema: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages with the order to answer in JSON before the last one."""
    order = f"Answer with one JSON document and nothing else. It must satisfy this JSON Schema: {json.dumps(schema)}"
    return (*messages[:-1], Message(role="system", content=order), messages[-1])


def corrected(messages: tuple[Message, ...], text: str, what: str) -> tuple[Message, ...]:
    """The conversation with the failed attempt and what was wrong with it."""
    order = f"That was no valid answer: {what}. Answer again, with the JSON document only."
    return (*messages, Message(role="assistant", content=text), Message(role="user", content=order))
