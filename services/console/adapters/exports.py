"""Copies of data sets for somebody else: checked before and while they are written."""

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from libs.datasets import Dataset, DatasetError, Form
from services.console.domain.errors import ConsoleError


def export_to(dataset: Dataset, folder: Path, forms: Sequence[Form]) -> list[str]:
    """Copies these forms, lineage and manifest; paths within the folder. Raises ConsoleError, DatasetError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConsoleError(f"{folder} holds something already; name a new or an empty folder", exit_code=2)
    wanted = [name for name in dataset.manifest.files if "/" not in name or name.startswith(tuple(forms))]
    for name in wanted:
        _copy(dataset.folder / name, folder / name)
        if _digest(folder / name) != dataset.manifest.files[name].sha256:
            raise DatasetError(f"{dataset.folder / name} is not what was published; `tailrace datasets show --verify`")
    _copy(dataset.folder / "manifest.json", folder / "manifest.json")
    return [*wanted, "manifest.json"]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as read, target.open("xb") as written:
        shutil.copyfileobj(read, written)
        os.fsync(written.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
