"""The file of schedules, YAML: read at the start, read again when it changes, never half believed.

A file that cannot be used is told with its line and how to mend it, and the last good schedules stay in force.
"""

import asyncio
import hashlib
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from libs.telemetry import get_logger
from services.gateway.domain.schedules import Schedule


class UnusableScheduleFile(ValueError):  # noqa: N818
    """The file is not what it should be. The message says where, and how to mend it."""


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    schedules: tuple[Schedule, ...] = ()


class ScheduleFile:
    """`path` None: there are no schedules."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: str | None = None
        self.schedules: tuple[Schedule, ...] = ()
        self.problem: str | None = None
        """What is wrong with the file as it lies there now."""
        self._log = get_logger("schedules")

    async def reload(self) -> tuple[Schedule, ...]:
        """The schedules in force."""
        if self._path is not None:
            await asyncio.to_thread(self._reload, self._path)
        return self.schedules

    def _reload(self, path: Path) -> None:
        try:
            content = path.read_bytes()
        except OSError as error:
            self._is_unusable("absent", f"{path}: {error.strerror}: write it, or name another one")
            return
        digest = hashlib.sha256(content).hexdigest()
        if digest == self._known:
            return
        try:
            self.schedules = read_schedules(content, path)
        except UnusableScheduleFile as error:
            self._is_unusable(digest, str(error))
        else:
            self._known, self.problem = digest, None
            self._log.info("schedules read", schedules=len(self.schedules))

    def _is_unusable(self, digest: str, problem: str) -> None:
        if self._known != digest:
            self._log.error("the last good schedules stay in force", reason=problem, schedules=len(self.schedules))
        self._known, self.problem = digest, problem


def read_schedules(content: bytes, path: Path) -> tuple[Schedule, ...]:
    """The schedules in a file's content. Raises UnusableScheduleFile."""
    try:
        node = yaml.compose(content, Loader=yaml.SafeLoader)
        data = yaml.safe_load(content)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the whole file"
        what = getattr(error, "problem", None) or "not readable"
        raise UnusableScheduleFile(
            f"{path}: {where}: this is no YAML ({what}): mend the line, quote the text"
        ) from None
    try:
        found = _Content.model_validate({} if data is None else data).schedules
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise UnusableScheduleFile(f"{path}: line {_line(node, first['loc'])}: {_words(first)}") from None
    names = [(schedule.tenant, schedule.name) for schedule in found]
    for index, name in enumerate(names):
        if name in names[:index]:
            line = _line(node, ("schedules", index, "name"))
            raise UnusableScheduleFile(f"{path}: line {line}: the name stands there already: give each one its own")
    return found


def _words(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"][2:] or detail["loc"]) or "the file"
    match detail["type"]:
        case "missing":
            return f'"{where}" is missing: add it'
        case "extra_forbidden":
            return f'"{where}" is not known: remove it or mend its name'
        case "value_error":
            return f'"{where}": {detail["msg"].removeprefix("Value error, ")}'
    return f'"{where}": {detail["msg"]}'


def _line(node: yaml.Node | None, location: tuple[int | str, ...]) -> int:
    """Of the deepest part of the location that the file has."""
    line = 1
    for part in location:
        following: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            following = next((value for key, value in node.value if key.value == part), None)
            line = next((key.start_mark.line + 1 for key, _ in node.value if key.value == part), line)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            following = node.value[part]
            line = following.start_mark.line + 1
        if following is None:
            return line
        node = following
    return line
