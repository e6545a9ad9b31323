"""A data set whose hashes are right and one of whose rows is none: its maker's fault, not the disk's."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from libs.datasets import Dataset, Kind
from libs.datasets._rows import row_id
from libs.datasets._writer import file_of
from libs.datasets.manifest import LINEAGE, MANIFEST, FileFact


def poisoned(dataset: Dataset, kind: Kind, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Dataset:
    """The same data set with the first of its rows for training changed, beside it, under its own right name."""
    name = file_of("conversational", kind, "train")
    lines = (dataset.folder / name).read_text().splitlines()
    old, new = lines[0], json.dumps(change(json.loads(lines[0])), ensure_ascii=False, separators=(",", ":"))
    texts = {name: "\n".join([new, *lines[1:]]) + "\n"}
    lineage = (dataset.folder / LINEAGE).read_text()
    texts[LINEAGE] = lineage.replace(row_id(kind, old), row_id(kind, new))
    facts = {path: _fact(dataset, path, text) for path, text in texts.items()}
    nameless = dataset.manifest.model_copy(update={"name": "", "files": {**dataset.manifest.files, **facts}})
    manifest = nameless.model_copy(update={"name": nameless.content_hash()})
    folder = dataset.folder.with_name(manifest.name)
    for path in manifest.files:
        _write(folder / path, texts.get(path) or (dataset.folder / path).read_text())
    _write(folder / MANIFEST, manifest.as_json())
    made = Dataset(folder)
    assert made.verify() == []
    return made


def _fact(dataset: Dataset, path: str, text: str) -> FileFact:
    content = text.encode()
    rows = dataset.manifest.files[path].rows
    return FileFact(rows=rows, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
