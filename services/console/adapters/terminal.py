"""What operators see: reports on stdout, progress and errors on stderr; plain text where it is no terminal."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from services.console.ports import Progress, Silent

_WIDE = 200
"""Columns where nobody's terminal says how many there are: a table in a file must not lose its ends."""


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDE)


def out(*, at_most: int | None = None) -> Console:
    """For reports. `at_most` so many columns, for what is read and not searched."""
    console = _console(stderr=False)
    if at_most is not None:
        console.width = min(console.width, at_most)
    return console


def err() -> Console:
    """For progress, hints and errors."""
    return _console(stderr=True)


def print_json(value: BaseModel | list[Any] | dict[str, Any]) -> None:
    """One JSON document on stdout, for programs."""
    if isinstance(value, BaseModel):
        print(value.model_dump_json(indent=2))
    else:
        print(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return str(value)


class _Shown:
    def __init__(self, bar: Bar, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def advance(self, done: int, of: int, note: str = "") -> None:
        self._bar.update(self._task, completed=done, total=of, note=note)


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """A bar on stderr while something goes on; nothing where it is no terminal."""
    console = err()
    if not console.is_terminal:
        yield Silent()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True) as bar:
        yield _Shown(bar, bar.add_task(title, total=None, note=""))
