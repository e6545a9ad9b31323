"""Whether a line of a data set is a row, for whoever is about to train on it or to ask it."""

import json
from typing import Any

from libs.datasets._names import Kind
from libs.datasets._rows import COLUMNS


def fault_of_row(kind: Kind, line: str) -> str | None:
    """What keeps a line from being a row of that kind, in its conversational form."""
    try:
        row = json.loads(line)
    except ValueError:
        return "it is no JSON"
    if not isinstance(row, dict):
        return "it is no object"
    for name, form in COLUMNS[kind].items():
        value = row.get(name)
        if form == "boolean":
            if not isinstance(value, bool):
                return f'"{name}" must be true or false'
        elif not isinstance(value, list) or not value or not all(_is_message(it) for it in value):
            return f'"{name}" must be messages with role and content'
        elif name != "prompt" and (value[-1]["role"] != "assistant" or not value[-1]["content"].strip()):
            return f'"{name}" must end with what the assistant says'
    return None


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str)
