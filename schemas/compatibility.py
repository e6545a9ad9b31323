"""Whether one JSON Schema of an event may take the place of another without anyone noticing.

Two promises: what was accepted stays accepted (`accepts`: old writers, and records already in the log), and what
readers could rely on stays so (`promises`: old readers). Knows only the keywords that our own schemas use.
"""

from collections.abc import Iterable, Iterator, Mapping
from operator import gt, lt
from typing import Any, Literal

Schema = Mapping[str, Any]
Direction = Literal["accepts", "promises"]

OPEN_ENUMS = frozenset({"reason.code"})
"""Where readers are told to expect values that they do not know."""

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


def breaking_changes(old: Schema, new: Schema, directions: tuple[Direction, ...]) -> list[str]:
    """Each break in words, with the field's path; empty if there is none."""
    return [*dict.fromkeys(found for way in directions for found in _Comparison(old, new, way).run())]


class _Comparison:
    """One walk over two schemas side by side; a type within itself is not walked again."""

    def __init__(self, old: Schema, new: Schema, direction: Direction) -> None:
        self._old, self._new = old, new
        self._accepts = direction == "accepts"
        self._within: list[tuple[object, object]] = []

    def run(self) -> Iterator[str]:
        return self._compare(self._old, self._new, "")

    def _compare(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        pair = (old.get("$ref"), new.get("$ref"))
        if pair in self._within and all(pair):
            return
        self._within.append(pair)
        olds, news = _alternatives(self._old, old), _alternatives(self._new, new)
        yield from self._kinds(olds, news, path)
        for kind in sorted(olds.keys() & news.keys()):
            yield from self._same_kind(olds[kind], news[kind], path)
        self._within.pop()

    def _kinds(self, olds: Schema, news: Schema, path: str) -> Iterator[str]:
        if self._accepts and (gone := _uncovered(olds, news)):
            yield f"{_at(path)} no longer takes {_listed(gone)}"
        if not self._accepts and (added := _uncovered(news, olds)):
            yield f"{_at(path)} may now be {_listed(added)}"

    def _same_kind(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        yield from self._enum(old, new, path)
        if self._accepts:
            yield from _narrowed(old, new, path)
        yield from self._fields(old, new, path)
        if "items" in old and "items" in new:
            yield from self._compare(old["items"], new["items"], f"{path}[]")
        values = (old.get("additionalProperties"), new.get("additionalProperties"))
        if isinstance(values[0], Mapping) and isinstance(values[1], Mapping):
            yield from self._compare(values[0], values[1], f"{path}{{}}")

    def _enum(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        before, after = _values(old), _values(new)
        if self._accepts and after is not None and (before is None or before - after):
            yield f"{_at(path)} no longer takes {_listed(before - after) if before else 'any value'}"
        widened = before is not None and (after is None or after - before)
        if not self._accepts and widened and not path.endswith(tuple(OPEN_ENUMS)):
            yield f"{_at(path)} may now be {_listed(after - before) if after and before else 'any value'}"

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        olds, news = old.get("properties", {}), new.get("properties", {})
        for name in sorted(olds.keys() - news.keys()):
            yield f"{_at(_joined(path, name))} was removed"
        before, after = set(old.get("required", ())), set(new.get("required", ()))
        if self._accepts:
            yield from (f"{_at(_joined(path, name))} is newly required" for name in sorted(after - before))
        else:
            gone = (before - after) & news.keys()
            yield from (f"{_at(_joined(path, name))} may now be missing" for name in sorted(gone))
        for name in sorted(olds.keys() & news.keys()):
            yield from self._compare(olds[name], news[name], _joined(path, name))


def _alternatives(root: Schema, schema: Schema) -> dict[str, Schema]:
    """The JSON types a value may have, each with its own constraints. Unconstrained: `any`."""
    if "$ref" in schema:
        return _alternatives(root, root["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return {k: s for choice in schema["anyOf"] for k, s in _alternatives(root, choice).items()}
    return {str(schema.get("type", "any")): schema}


def _uncovered(kinds: Schema, by: Schema) -> set[str]:
    """Kinds of value that the others have no place for."""
    if "any" in by:
        return set()
    return {kind for kind in kinds if kind not in by and not (kind == "integer" and "number" in by)}


def _values(schema: Schema) -> frozenset[object] | None:
    if "const" in schema:
        return frozenset({schema["const"]})
    return frozenset(schema["enum"]) if "enum" in schema else None


def _narrowed(old: Schema, new: Schema, path: str) -> Iterator[str]:
    for word in (*_LOWER, *_UPPER):
        tighter = gt if word in _LOWER else lt
        if word in new and (word not in old or tighter(new[word], old[word])):
            yield f"{_at(path)} has {word} {new[word]}, it was {old.get(word, 'unlimited')}"
    if "pattern" in new and new["pattern"] != old.get("pattern"):
        yield f"{_at(path)} has another pattern: {new['pattern']}"
    if new.get("additionalProperties") is False and old.get("additionalProperties") is not False:
        yield f"{_at(path)} no longer takes unknown fields"


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _at(path: str) -> str:
    return f'"{path}"' if path else "the event"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, values)))
