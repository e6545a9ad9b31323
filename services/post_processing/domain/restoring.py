"""Puts the upstream's own data back where the model saw placeholders."""

import re
from collections.abc import Mapping

from pydantic import JsonValue

_PLACEHOLDER = re.compile(r"<[A-Z][A-Z0-9_]*_\d+>")


def restore(text: str, mapping: Mapping[str, str]) -> str:
    """The text with every known placeholder replaced, in one pass: a restored value is never looked at again."""
    if not mapping:
        return text
    return _PLACEHOLDER.sub(lambda found: mapping.get(found[0], found[0]), text)


def restore_json(value: JsonValue, mapping: Mapping[str, str]) -> JsonValue:
    """The same in all strings of a JSON value, keys included."""
    if isinstance(value, str):
        return restore(value, mapping)
    if isinstance(value, list):
        return [restore_json(item, mapping) for item in value]
    if isinstance(value, dict):
        return {restore(key, mapping): restore_json(item, mapping) for key, item in value.items()}
    return value
