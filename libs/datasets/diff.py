"""What two data sets have in common, and what not. Reads their lineages side by side; holds no rows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from libs.datasets._names import Kind
from libs.datasets.dataset import Dataset, RowLineage


@dataclass(frozen=True, slots=True)
class Change:
    """Of one row."""

    change: str
    """`added`, `removed`, or `moved` (to another split)."""
    row: RowLineage


@dataclass
class Difference:
    """Counts by kind, and the first changes."""

    added: dict[Kind, int] = field(default_factory=dict)
    removed: dict[Kind, int] = field(default_factory=dict)
    moved: dict[Kind, int] = field(default_factory=dict)
    same: int = 0
    changes: list[Change] = field(default_factory=list)
    same_policy: bool = True

    def total(self, change: str) -> int:
        """Rows that were `added`, `removed` or `moved`."""
        return sum(getattr(self, change).values())


def diff(old: Dataset, new: Dataset, *, keep: int = 0) -> Difference:
    """From the one to the other; `keep` so many changes are held, all are counted."""
    found = Difference(same_policy=old.manifest.policy.digest == new.manifest.policy.digest)
    for change, place in _changes(old, new):
        if change is None:
            found.same += 1
            continue
        counts: dict[Kind, int] = getattr(found, change)
        counts[place.kind] = counts.get(place.kind, 0) + 1
        if len(found.changes) < keep:
            found.changes.append(Change(change, RowLineage.of(place.line)))
    return found


class _Place(NamedTuple):
    """A row, and the line of its lineage."""

    kind: Kind
    row: str
    split: str
    line: bytes


def _changes(old: Dataset, new: Dataset) -> Iterator[tuple[str | None, _Place]]:
    """In the order of kind and id; None for a row that both have in one split."""
    before, after = _places(old), _places(new)
    one, other = next(before, None), next(after, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[:2] < other[:2]):
            assert one is not None
            yield "removed", one
            one = next(before, None)
        elif one is None or other[:2] < one[:2]:
            yield "added", other
            other = next(after, None)
        else:
            yield (None if one.split == other.split else "moved"), other
            one, other = next(before, None), next(after, None)


def _places(dataset: Dataset) -> Iterator[_Place]:
    for line in dataset.lineage_lines():
        told = json.loads(line)
        yield _Place(told["kind"], told["row"], told["split"], line)
