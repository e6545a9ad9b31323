"""Rows that no training has seen, and samples by seed that stay as they are when others come. Loads no torch."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from libs.datasets import KINDS, Dataset, DatasetError, Datasets, Kind, Split, fault_of_row
from libs.model_registry import Adapter
from services.evaluation.examination.errors import UnknownError

_SPLITS: tuple[Split, ...] = ("test", "validation")
"""The second where the first has none."""
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One held-out row. `group`: the conversation that it comes of."""

    id: str
    group: str
    body: dict[str, Any]

    @property
    def asked(self) -> str:
        """The prompt, the same for rows of all kinds: samples by it have their prompts in common."""
        return json.dumps(self.body["prompt"])

    def said(self, column: str) -> str:
        """What the assistant says in the end."""
        return str(self.body[column][-1]["content"])


def check_rows(dataset: Dataset) -> None:
    """Whether all that may be asked are rows. Raises UnknownError."""
    for kind in KINDS:
        for split in _SPLITS:
            for number, (_, line) in enumerate(dataset.identified(kind, split), start=1):
                if fault := fault_of_row(kind, line):
                    raise UnknownError(
                        f"data set {dataset.name}, {kind}, {split}, line {number}: {fault}; "
                        "mend what made it, and publish again"
                    )


def held_out(dataset: Dataset, kind: Kind, seen: frozenset[str]) -> list[Row]:
    """All rows of a kind that may be asked, but for those of `seen`."""
    for split in _SPLITS:
        found = {row: line for row, line in dataset.identified(kind, split) if row not in seen}
        if found:
            groups = _conversations(dataset)
            return [Row(row, groups.get(row, row), json.loads(line)) for row, line in found.items()]
    return []


@lru_cache(maxsize=2)
def _conversations(dataset: Dataset) -> dict[str, str]:
    """Of the rows that are held out."""
    return {it.row: it.answers[0].conversation_id for it in dataset.lineage() if it.answers and it.split in _SPLITS}


def trained_on(datasets: Datasets, *adapters: Adapter | None) -> frozenset[str]:
    """Ids of the rows that these were trained on, as far as their data sets are there.

    They may be asked the rows of another data set, whose rules may have split it otherwise.
    """
    found: set[str] = set()
    for name in {it.card.trained.dataset for it in adapters if it is not None}:
        try:
            dataset = datasets.open(name)
        except DatasetError:
            continue
        found |= {row for kind in KINDS for row, _ in dataset.identified(kind, "train")}
    return frozenset(found)


def sample(items: Iterable[T], most: int, seed: int, name: Callable[[T], str]) -> list[T]:
    """So many of them, by lot. Each has a lot of its own, so that others which come or go do not change it."""
    return sorted(items, key=lambda it: _lot(seed, name(it)))[:most]


def spread(items: Iterable[T], most: int, seed: int, name: Callable[[T], str], group: Callable[[T], str]) -> list[T]:
    """A sample that takes of each group in turn."""
    drawn: Sequence[T] = sorted(items, key=lambda it: _lot(seed, name(it)))
    before: Counter[str] = Counter()
    turns = []
    for place, item in enumerate(drawn):
        turns.append((before[group(item)], place))
        before[group(item)] += 1
    return [drawn[place] for _, place in sorted(turns)[:most]]


def _lot(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\n{name}".encode(), digest_size=16).digest()
