"""Files that others read while we write them: whole or not at all, and private where they hold a secret."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Readers see the old text or the new one. Only the owner can read the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)


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
