"""Reads a policy from YAML. What is wrong is told with file, line, rule, and how to mend it; all of it at once."""

import difflib
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from libs.datasets.policy import Policy

DEFAULT_POLICY = Path(__file__).parent / "policies" / "default.yaml"
_LARGEST = 1024 * 1024


class BadPolicyError(ValueError):
    """A policy that cannot be used. The message says which file, where in it, what is wrong, how to mend it."""


def read_policy(path: Path = DEFAULT_POLICY) -> Policy:
    """The policy in a file; without one, the shipped default. Raises BadPolicyError."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise BadPolicyError(f"{path}: {error.strerror}; name a file that this process may read") from None
    if len(content) > _LARGEST:
        raise BadPolicyError(f"{path}: more than {_LARGEST} bytes; a policy is a page of YAML")
    return parse_policy(content, str(path))


def parse_policy(content: bytes, where: str = "the policy") -> Policy:
    """The policy in a file's content. Raises BadPolicyError."""
    try:
        text = content.decode()
        node = yaml.compose(text, Loader=_Loader)
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError:
        raise BadPolicyError(f"{where}: not UTF-8 text; save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise BadPolicyError(f"{where}: {_of_yaml(error)}") from None
    except RecursionError:
        raise BadPolicyError(f"{where}: nested too deeply; a policy has three levels") from None
    if not isinstance(data, dict):
        raise BadPolicyError(f"{where}: holds no mapping; begin with `name:` and `version:`, as default.yaml does")
    try:
        return Policy.model_validate(data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        found = sorted((_line(node, detail["loc"]), _words(detail)) for detail in details)
        told = "; ".join(f"line {line}: {words}" for line, words in found)
        raise BadPolicyError(f"{where}: {told}") from None


def _of_yaml(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the whole file"
    return f"{line}: this is no YAML ({getattr(error, 'problem', None) or 'not readable'}); mend it there"


def _words(detail: ErrorDetails) -> str:
    where = ".".join(map(str, detail["loc"])) or "the policy"
    match detail["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(str(detail["loc"][-1]), _NAMES, n=1)
            return f'"{where}" is not known: {f"did you mean {near[0]}?" if near else "take it out"}'
        case "missing":
            return f'"{where}" is missing: add it'
        case "value_error":
            return f'"{where}": {detail["msg"].removeprefix("Value error, ")}'
    return f'"{where}": {detail["msg"][:1].lower()}{detail["msg"][1:]}; default.yaml shows how'


def _names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _names(kind)


_NAMES = sorted(set(_names(Policy)))


def _line(node: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    """Of the deepest part of the location that the file has."""
    line = 1
    for part in location:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        items = node.value if isinstance(node, yaml.SequenceNode) else ()
        node = None
        for key, value in pairs:
            if key.value == part:
                line, node = key.start_mark.line + 1, value
        if isinstance(part, int) and part < len(items):
            node = items[part]
            line = node.start_mark.line + 1
    return line


class _Loader(yaml.SafeLoader):
    """Safe, and strict about a key that stands twice: YAML would take the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the name {key.value!r} stands twice, keep one", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)
