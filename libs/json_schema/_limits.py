"""What a JSON Schema from outside may be at most, found out before any work is done for it.

The limits are part of the public contract (docs/contract.md).
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from libs.json_schema._applying import mismatch
from libs.json_schema._rules import UnusableSchema, dialect_of, regex

MAX_BYTES = 32 * 1024
"""Of the schema as JSON."""
MAX_DEPTH = 32
"""Levels of objects and lists."""
MAX_PARTS = 2_000
"""Objects, lists and booleans in it, of all levels together."""
MAX_PATTERN = 512
"""Characters of one pattern."""
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_PROBE_STEPS = 20_000
_PROBES: tuple[Any, ...] = ({}, [], "", 0, None)
_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,40}|[0-9]{1,5}")
Place = tuple[str, ...]


def check_schema(schema: Mapping[str, Any]) -> None:
    """Returns for a schema that can be applied at a bounded cost. Raises UnusableSchema.

    Costs up to half a second for the largest schema there may be; the last few are remembered.
    """
    try:
        text = json.dumps(schema, allow_nan=False)
    except (ValueError, RecursionError):
        raise UnusableSchema(
            "it cannot be written as JSON: use smaller numbers (no NaN, no Infinity) and fewer levels"
        ) from None
    if len(text) > MAX_BYTES:
        raise UnusableSchema(f"it has {len(text)} bytes, the limit is {MAX_BYTES}; describe less")
    if (told := _what_is_wrong(text)) is not None:
        raise UnusableSchema(told)


@lru_cache(maxsize=256)
def _what_is_wrong(text: str) -> str | None:
    """Remembered, because upstreams send the same few schemas again and again."""
    schema = json.loads(text)
    try:
        _check_shape(schema)
        kind = dialect_of(schema)
        # Its formats are judged above: Python would read patterns as its own.
        kind.check_schema(schema, format_checker=None)  # type: ignore[call-arg]
        for probe in _PROBES:
            mismatch(probe, schema, steps=_PROBE_STEPS)
    except SchemaError as error:
        return (
            f"{_shown(tuple(map(str, error.absolute_path)))} breaks the rule {error.validator!r} of JSON Schema itself"
        )
    except UnusableSchema as error:
        return str(error)
    return None


def _check_shape(schema: Mapping[str, Any]) -> None:
    own_base = False
    references: list[tuple[Place, str]] = []
    for place, node in _nodes(schema):
        if len(place) >= MAX_DEPTH:
            raise UnusableSchema(f"it is nested deeper than {MAX_DEPTH} levels; make it flatter")
        if place and isinstance(node.get("$schema"), str):
            raise UnusableSchema(f'{_shown(place)} has a "$schema" of its own: keep the one at the top only')
        own_base = own_base or isinstance(node.get("$id", node.get("id")), str)
        references += [(place, node[name]) for name in _REFERENCES if isinstance(node.get(name), str)]
        _check_patterns(place, node)
    _check_references(schema, references, own_base=own_base)


def _nodes(schema: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """Every object in the schema with its place; lists count as a level."""
    waiting: list[tuple[Place, Any]] = [((), schema)]
    parts = 0
    while waiting:
        place, node = waiting.pop()
        parts += 1
        if parts > MAX_PARTS:
            raise UnusableSchema(f"it has more than {MAX_PARTS} parts; describe less")
        if isinstance(node, bool):
            continue
        if isinstance(node, dict):
            yield place, node
        inner = node.items() if isinstance(node, dict) else enumerate(node)
        waiting += [((*place, str(name)), value) for name, value in inner if isinstance(value, dict | list | bool)]


def _check_patterns(place: Place, node: Mapping[str, Any]) -> None:
    named = node.get("patternProperties")
    found = [node.get("pattern"), *(named if isinstance(named, dict) else ())]
    for pattern in found:
        if not isinstance(pattern, str):
            continue
        if len(pattern) > MAX_PATTERN:
            raise UnusableSchema(f"{_shown(place)} has a pattern of {len(pattern)} characters; {MAX_PATTERN} may be")
        try:
            regex(pattern)
        except UnusableSchema as error:
            raise UnusableSchema(f"{_shown(place)}: {error}") from None


def _check_references(schema: Mapping[str, Any], references: list[tuple[Place, str]], *, own_base: bool) -> None:
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for place, reference in references:
        if not reference.startswith("#"):
            raise UnusableSchema(f'{_shown(place)} refers to another document; use "#/$defs/..." inside this one')
        if own_base:
            # Against a base of its own; the probes tell.
            continue
        try:
            resolver.lookup(reference)
        except (Unresolvable, ValueError, LookupError, TypeError, AttributeError):
            raise UnusableSchema(f"{_shown(place)} refers to a place that is not in the schema") from None


def _shown(place: Place) -> str:
    """Where, in at most a hundred characters. Names that are no plain words might be anything, so they are left out."""
    words = [name if _PLAIN.fullmatch(name) else "..." for name in place]
    return f'"{"/".join(words)[:100]}"' if place else "the schema"
