"""The rows of a job as data sets of Arrow's on disk, so that it does not matter how many there are."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datasets import Dataset as ArrowDataset
from datasets import Features, List, Value

from libs.datasets import COLUMNS, Dataset
from schemas.training import Method
from services.retraining.domain.selection import Selection
from services.retraining.training.choosing import lines_of

_MESSAGES = List({"role": Value("string"), "content": Value("string")})


def training_set(dataset: Dataset, method: Method, selection: Selection, work: Path) -> ArrowDataset:
    """The chosen rows."""
    return _arrow(method, lines_of(dataset, method, "train", set(selection.rows)), work / "train.jsonl")


def validation_set(dataset: Dataset, method: Method, work: Path) -> ArrowDataset | None:
    """The rows held out for watching the training; None: there are none."""
    rows = _arrow(method, lines_of(dataset, method, "validation"), work / "validation.jsonl")
    return rows if len(rows) else None


def _arrow(method: Method, lines: Iterable[str], file: Path) -> ArrowDataset:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as stream:
        written = sum(1 for line in lines if stream.write(f"{line}\n"))
    columns: dict[str, Any] = {name: Value("bool") if name == "label" else _MESSAGES for name in COLUMNS[method]}
    features = Features(columns)
    if not written:
        return ArrowDataset.from_dict({name: [] for name in columns}, features=features)
    found = ArrowDataset.from_json(str(file), features=features, cache_dir=str(file.parent / "arrow"))
    assert isinstance(found, ArrowDataset)
    return found
