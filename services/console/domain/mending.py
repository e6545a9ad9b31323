"""Mending a body: values set and taken out by path, and whether its topic would take the result.

Nothing may be mended past the gate: what was changed there would reach the model, or the upstream, unexamined.
"""

import json
from collections.abc import Sequence
from typing import Any

from libs.bus import Rejected, StoredRecord, decode
from schemas.topics import topic_named
from services.console.domain.errors import ConsoleError


def may_be_mended(topic: str) -> bool:
    """Whether what is changed on a topic is still examined further on."""
    found = topic_named(topic)
    return found.before_the_gate or found.access == "public-input"


def problem(topic: str, body: bytes | None) -> str | None:
    """Why the topic's reader could not read this body; None: it can."""
    event = topic_named(topic).event
    assert event is not None
    try:
        decode(StoredRecord(topic, 0, 0, 0, None, body), event)
    except Rejected as rejection:
        return str(rejection)
    return None


def changed(body: bytes | None, settings: Sequence[str], removals: Sequence[str]) -> bytes | None:
    """The body with `path=value` set and paths taken out; the very same bytes where nothing is asked.

    A path is names and list positions with dots between them. A value is JSON, or else a string.
    """
    if not settings and not removals:
        return body
    document = _parsed(body)
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals:
            raise ConsoleError(f'--set "{setting}": write PATH=VALUE, e.g. parameters.temperature=0.2', exit_code=2)
        _set(document, path, _value(value))
    for path in removals:
        _remove(document, path)
    return json.dumps(document, ensure_ascii=False).encode(errors="replace")


def _parsed(body: bytes | None) -> dict[str, Any]:
    try:
        document = json.loads(body or b"")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ConsoleError("its body is no JSON object, so nothing can be set in it; use --edit or --body")
    return document


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _set(document: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split(".")
    place: Any = document
    for name in way:
        place = place.setdefault(name, {}) if isinstance(place, dict) else _item(place, name, path)
    if isinstance(place, dict):
        place[last] = value
    else:
        _item(place, last, path)
        place[int(last)] = value


def _remove(document: dict[str, Any], path: str) -> None:
    *way, last = path.split(".")
    place: Any = document
    for name in way:
        place = place.get(name) if isinstance(place, dict) else _item(place, name, path)
    if isinstance(place, dict) and last in place:
        del place[last]
        return
    _item(place, last, path)
    del place[int(last)]


def _item(place: Any, name: str, path: str) -> Any:
    if isinstance(place, list) and name.isascii() and name.isdigit() and int(name) < len(place):
        return place[int(name)]
    raise ConsoleError(f'there is no "{name}" on the way of "{path}" in its body')
