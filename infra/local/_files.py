"""Logs: their ends, and new ones."""

import os
from pathlib import Path


def tail(path: Path, lines: int = 20, most_bytes: int = 16_384) -> str:
    """The last lines of a text file, empty if there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most_bytes))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


def open_log(path: Path, most_bytes: int = 20_000_000) -> int:
    """A descriptor to append to; a log that has grown large is put aside first (one older file is kept)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > most_bytes:
        path.replace(path.with_suffix(".log.1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
