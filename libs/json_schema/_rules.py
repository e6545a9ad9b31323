"""JSON Schema's keywords with two differences: patterns are RE2's, and every step of work is counted.

One set of validators per dialect, made once. What a schema may cost is set by whoever applies it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any

import re2
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import Draft7Validator, Draft201909Validator, Draft202012Validator, extend

Keyword = Callable[[Any, Any, Any, Any], Any]
_PATTERN_BYTES = 1 << 20
_DIALECTS: dict[str, type[Validator]] = {
    "http://json-schema.org/draft-07/schema": Draft7Validator,
    "https://json-schema.org/draft/2019-09/schema": Draft201909Validator,
    "https://json-schema.org/draft/2020-12/schema": Draft202012Validator,
}
_UNSUPPORTED = ("unevaluatedItems", "unevaluatedProperties")
"""Their work cannot be counted from outside, and no engine here takes them."""


class UnusableSchema(ValueError):  # noqa: N818 - named after what is wrong
    """The schema cannot be used here. The text says what is wrong, where, and how to mend it."""


class _Budget:
    """Steps that one check may still take."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def spend(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise UnusableSchema("it takes too much work to apply: use fewer alternatives, references and list values")


_budget: ContextVar[_Budget] = ContextVar("budget")


@contextmanager
def budget(steps: int) -> Iterator[None]:
    """What is checked inside may take so many steps together."""
    token = _budget.set(_Budget(steps))
    try:
        yield
    finally:
        _budget.reset(token)


@lru_cache(maxsize=1024)
def regex(pattern: str) -> Any:
    """The compiled pattern. Raises UnusableSchema for what RE2 does not know or what would grow too large."""
    options = re2.Options()
    options.max_mem = _PATTERN_BYTES
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError):
        raise UnusableSchema(
            "a pattern is no RE2 expression: leave out look-around, back references and large repetitions"
        ) from None


def dialect_of(schema: Mapping[str, Any]) -> type[Validator]:
    """Validators of the schema's dialect, patterns and work bounded. Raises UnusableSchema for an unknown one."""
    named = schema.get("$schema")
    if named is None:
        return bounded(Draft202012Validator)
    if not isinstance(named, str) or (found := _DIALECTS.get(named.rstrip("#"))) is None:
        raise UnusableSchema('"$schema" names no dialect known here: leave it out, or use draft 7, 2019-09 or 2020-12')
    return bounded(found)


@cache
def bounded(dialect: type[Validator]) -> type[Validator]:
    """The dialect's validators with our own patterns, counting."""
    keywords: dict[str, Keyword] = {**dialect.VALIDATORS, "pattern": _pattern, "patternProperties": _pattern_properties}
    keywords["additionalProperties"] = _additional_properties
    keywords.update(dict.fromkeys(_UNSUPPORTED, _unsupported))
    made: type[Validator] = extend(  # type: ignore[no-untyped-call]
        dialect,
        {name: _counted(name, keyword) for name, keyword in keywords.items()},
    )
    return made


def _counted(name: str, keyword: Keyword) -> Keyword:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        _budget.get().spend(_cost(name, value, instance))
        return keyword(validator, value, instance, schema)

    return counted


def _cost(name: str, value: Any, instance: Any) -> int:
    """In steps of a few microseconds."""
    cost = 2 + (len(value) if isinstance(value, list | dict) else 0)
    size = len(instance) if isinstance(instance, list | dict) else 0
    if name == "uniqueItems":
        return cost + size * size // 4
    if name in ("patternProperties", "additionalProperties"):
        return cost * (size + 1)
    return cost + size


def _unsupported(*_: Any) -> Any:
    raise UnusableSchema(f'{" and ".join(_UNSUPPORTED)} are not supported: use "additionalProperties" and "items"')


def _pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not regex(pattern).search(instance):
        yield ValidationError("the text does not match the pattern")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for pattern, subschema in patterns.items():
            for name, value in instance.items():
                if regex(pattern).search(name):
                    yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    more = [name for name in instance if name not in named and not any(regex(p).search(name) for p in patterns)]
    if isinstance(allowed, dict):
        for name in more:
            yield from validator.descend(instance[name], allowed, path=name)
    elif not allowed and more:
        yield ValidationError("there are properties that the schema does not allow")
