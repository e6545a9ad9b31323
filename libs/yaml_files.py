"""Reads a pydantic model from YAML. What is wrong is told with file, line, name and remedy; all of it at once."""

import difflib
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_LARGEST = 1024 * 1024
T = TypeVar("T", bound=BaseModel)


class BadFileError(ValueError):
    """A file that cannot be used. The message says which one, where in it, what is wrong, how to mend it."""


@dataclass(frozen=True)
class YamlForm(Generic[T]):
    """A kind of file: the model it must fit, what it is called, and a file that shows how it is written.

    `error` is what is raised where a file is wrong.
    """

    model: type[T]
    what: str
    shown_in: str
    error: type[BadFileError] = BadFileError

    def read(self, path: Path) -> T:
        """What the file says."""
        try:
            with path.open("rb") as file:
                content = file.read(_LARGEST + 1)
        except OSError as error:
            raise self.error(f"{path}: {error.strerror}; name a file that this process may read") from None
        if len(content) > _LARGEST:
            raise self.error(f"{path}: more than {_LARGEST} bytes; a {self.what} is a page of YAML")
        return self.parse(content, str(path))

    def read_folder(self, folder: Path) -> dict[str, T]:
        """All `*.yaml` files of a folder, by the `name` that each has. None of them, or two of one name: an error."""
        found: dict[str, tuple[Path, T]] = {}
        for path in sorted(folder.glob("*.yaml")):
            told = self.read(path)
            name = str(getattr(told, "name", path.stem))
            if name in found:
                raise self.error(f'{path}: "{name}" is the name of {found[name][0]}, too: give another')
            found[name] = (path, told)
        if not found:
            shown = Path(self.shown_in).parent
            raise self.error(f"{folder}: holds no {self.what}; put *.yaml files there, as {shown} has them")
        return {name: told for name, (_, told) in found.items()}

    def parse(self, content: bytes, where: str) -> T:
        """What a file's content says."""
        try:
            text = content.decode()
            node = yaml.compose(text, Loader=_Loader)
            data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
        except UnicodeDecodeError:
            raise self.error(f"{where}: not UTF-8 text; save it as UTF-8") from None
        except yaml.YAMLError as error:
            raise self.error(f"{where}: {_of_yaml(error)}") from None
        except RecursionError:
            raise self.error(f"{where}: nested too deeply; a {self.what} has three levels") from None
        if not isinstance(data, dict):
            raise self.error(f"{where}: holds no mapping; begin with `name:` and `version:`, as {self.shown_in} does")
        try:
            return self.model.model_validate(data)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            found = sorted((_line(node, detail["loc"]), self._words(detail)) for detail in details)
            told = "; ".join(f"line {line}: {words}" for line, words in found)
            raise self.error(f"{where}: {told}") from None

    def _words(self, detail: ErrorDetails) -> str:
        where = ".".join(map(str, detail["loc"])) or f"the {self.what}"
        match detail["type"]:
            case "extra_forbidden":
                near = difflib.get_close_matches(str(detail["loc"][-1]), sorted(set(_names(self.model))), n=1)
                return f'"{where}" is not known: {f"did you mean {near[0]}?" if near else "take it out"}'
            case "missing":
                return f'"{where}" is missing: add it'
            case "value_error":
                return f'"{where}": {detail["msg"].removeprefix("Value error, ")}'
        return f'"{where}": {detail["msg"][:1].lower()}{detail["msg"][1:]}; {self.shown_in} shows how'


def known_name(name: str, known: Collection[str], what: str) -> str:
    """The name, if it is known. For validators: raises ValueError that says which one may be meant."""
    if name in known:
        return name
    near = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
    raise ValueError(f'no {what} is called "{name}": {hint}')


def _of_yaml(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the whole file"
    return f"{line}: this is no YAML ({getattr(error, 'problem', None) or 'not readable'}); mend it there"


def _names(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _names(kind)


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
