"""What two data sets have in common, and what not. Reads their lineages side by side; holds no rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field

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
    for change in _changes(old, new):
        if change is None:
            found.same += 1
            continue
        counts: dict[Kind, int] = getattr(found, change.change)
        counts[change.row.kind] = counts.get(change.row.kind, 0) + 1
        if len(found.changes) < keep:
            found.changes.append(change)
    return found


def _changes(old: Dataset, new: Dataset) -> Iterator[Change | None]:
    """In the order of kind and id; None for a row that both have in one place."""
    before, after = old.lineage(), new.lineage()
    one, other = next(before, None), next(after, None)
    while one is not None or other is not None:
        if other is None or (one is not None and _order(one) < _order(other)):
            assert one is not None
            yield Change("removed", one)
            one = next(before, None)
        elif one is None or _order(other) < _order(one):
            yield Change("added", other)
            other = next(after, None)
        else:
            yield None if one.split == other.split else Change("moved", other)
            one, other = next(before, None), next(after, None)


def _order(row: RowLineage) -> tuple[str, str]:
    return row.kind, row.row
