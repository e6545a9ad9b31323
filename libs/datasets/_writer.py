"""Writes the files of a data set: each opened when it gets its first row, hashed as it grows, on disk when closed."""

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from libs.datasets._names import FORMS, KINDS, SPLITS, Form, Kind, Split
from libs.datasets._rows import as_text, plain
from libs.datasets.manifest import LINEAGE, FileFact, Manifest

_BUFFER = 1 << 20


def file_of(form: Form, kind: Kind, split: Split) -> str:
    """Path of these rows within a data set."""
    return f"{form}/{kind}/{split}.jsonl"


class Writer:
    """Rows come by kind and id; each file is in the order of ids."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, _Lines] = {}
        self.rows: dict[Kind, dict[Split, int]] = {}

    def add(self, kind: Kind, row: str, split: Split, lineage: dict[str, Any], body: str) -> None:
        """One row in both forms, and its lineage."""
        counts = self.rows.setdefault(kind, Counter())
        counts[split] += 1
        self._lines(file_of("conversational", kind, split)).write(body)
        self._lines(file_of("plain", kind, split)).write(as_text(plain(json.loads(body))))
        about = {"row": row, "kind": kind, "split": split, "line": counts[split]}
        self._lines(LINEAGE).write(as_text({**about, **lineage}))

    def close(self) -> dict[str, FileFact]:
        """Everything is on disk; what was written. Counts get an order that depends on nothing."""
        facts = {path: lines.close() for path, lines in self._files.items()}
        self.rows = {k: {s: self.rows[k][s] for s in SPLITS if s in self.rows[k]} for k in KINDS if k in self.rows}
        for folder in self._folders():
            sync_folder(folder)
        return facts

    def abandon(self) -> None:
        """Lets go of the files."""
        for lines in self._files.values():
            lines.abandon()

    def _lines(self, path: str) -> "_Lines":
        if (found := self._files.get(path)) is None:
            target = self._folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            found = self._files[path] = _Lines(target)
        return found

    def _folders(self) -> list[Path]:
        forms = [self._folder / form for form in FORMS if (self._folder / form).exists()]
        return [*(kind for form in forms for kind in form.iterdir()), *forms]


class _Lines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=_BUFFER)
        self._digest = hashlib.sha256()
        self._rows = self._bytes = 0

    def write(self, text: str) -> None:
        line = text.encode() + b"\n"
        self._file.write(line)
        self._digest.update(line)
        self._rows += 1
        self._bytes += len(line)

    def close(self) -> FileFact:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return FileFact(rows=self._rows, bytes=self._bytes, sha256=self._digest.hexdigest())

    def abandon(self) -> None:
        self._file.close()


def write_manifest(folder: Path, manifest: Manifest, name: str) -> None:
    """The last file: a folder without it is no data set."""
    with (folder / name).open("xb") as file:
        file.write(manifest.as_json().encode())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Names in it outlive a crash."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
