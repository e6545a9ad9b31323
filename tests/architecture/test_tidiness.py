"""Nothing half done, nothing that belongs to one machine only, nothing big lies in the tree."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (".ci", "docs", "infra", "libs", "schemas", "services", "tests")
TEXT = {".md", ".py", ".toml", ".txt", ".yaml", ".yml", ".json", ".jsonl", ".sh", ".properties", ".jinja", ".html"}
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|NotImplementedError)\b")
SOMEBODYS = re.compile(r"(?<![\w.>}-])/(?:root|home|Users|work)/[A-Za-z]")
"""Absolute paths of one machine."""
LARGEST = 400_000


def _files() -> Iterator[Path]:
    yield from (path for path in ROOT.iterdir() if path.is_file())
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


FILES = sorted(path for path in _files() if path.suffix in TEXT or path.name in {"Makefile", "Tiltfile", "run"})
SOURCES = [path for path in FILES if path.suffix == ".py" and "tests" not in path.parts]


def test_everything_is_finished() -> None:
    assert not _found(UNFINISHED)


def test_no_path_of_one_machine_is_named() -> None:
    assert not _found(SOMEBODYS)


def test_no_file_is_big() -> None:
    big = {_name(path): path.stat().st_size for path in _files() if path.stat().st_size > LARGEST}
    assert not big


def test_the_contracts_import_nothing_but_pydantic() -> None:
    imported = set().union(*(_imported(path) for path in SOURCES if "schemas" in path.parts))
    assert imported - sys.stdlib_module_names == {"pydantic", "schemas"}


def test_every_module_says_briefly_what_it_is_for() -> None:
    docstrings = {_name(path): ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in SOURCES}
    assert not {name: text for name, text in docstrings.items() if not 1 <= len(text.splitlines()) <= 12}


def test_test_modules_have_names_of_their_own() -> None:
    names = [path.name for path in FILES if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("pattern", "text"), [(UNFINISHED, "# TODO: later"), (SOMEBODYS, "see /home/jane/notes"), (SOMEBODYS, '"/root/x"')]
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


def _found(pattern: re.Pattern[str]) -> list[str]:
    """`file:line: text` of each line that matches, this file left out."""
    return [
        f"{_name(path)}:{number}: {line.strip()[:100]}"
        for path in FILES
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imported(path: Path) -> set[str]:
    """Top-level packages that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found
