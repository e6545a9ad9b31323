"""Which rows a training gets. The same rows, in the same order, whenever it is asked with the same seed."""

import hashlib
from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass

from services.retraining.domain.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Selection:
    """Ids of rows of the data set, in its order."""

    rows: Sequence[str]
    replayed: int
    """Of them, rows that the adapter it starts from has seen."""


class TooFewRowsError(ValueError):
    """The data set does not have what the recipe wants; the message says how much it has."""


def select(recipe: Recipe, rows: Sequence[str], seen: Set[str] | None, seed: int) -> Selection:
    """`seen`: rows that the adapter it starts from was trained on; None: it starts from the bare base.

    Replayed rows are of this data set: what has left it since, as by an erasure, is not trained on again.
    """
    if recipe.rows == "all" or seen is None:
        chosen, replayed = rows, len([row for row in rows if row in seen]) if seen is not None else 0
    else:
        chosen, replayed = _new_and_some_old(rows, seen, recipe.replay, seed)
    if len(chosen) < recipe.min_rows:
        kind = "new rows" if recipe.rows == "new" and seen is not None else "rows"
        raise TooFewRowsError(
            f"{len(chosen)} {kind} for {recipe.method}, and recipe {recipe.name} wants {recipe.min_rows} or more: "
            'wait for more feedback, or lower "min_rows"'
        )
    return Selection(chosen, replayed)


def _new_and_some_old(rows: Sequence[str], seen: Set[str], replay: float, seed: int) -> tuple[Sequence[str], int]:
    new = [row for row in rows if row not in seen]
    old = sorted((row for row in rows if row in seen), key=lambda row: _lot(row, seed))
    again = set(old[: round(replay * len(new))])
    return [row for row in rows if row not in seen or row in again], len(again)


def _lot(row: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {row}".encode()).digest()


def unseen(rows: Collection[str], seen: Set[str]) -> int:
    """How many of the rows were not there before."""
    return sum(row not in seen for row in rows)
