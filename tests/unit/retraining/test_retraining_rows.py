"""Which rows a training gets, and which adapter it may start from."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.datasets import Datasets, read_policy
from libs.datasets.policy import Splits
from libs.model_registry import Base
from schemas.training import Method
from services.retraining.domain.recipe import Recipe
from services.retraining.domain.selection import Selection, TooFewRowsError, select, unseen
from services.retraining.training.choosing import RefusedError, check_base
from services.retraining.training.rows import training_set, validation_set
from tests.support.trainings import polite

ROWS = [f"row-{number}" for number in range(40)]
_IDS = st.lists(st.integers(0, 60).map(lambda number: f"row-{number}"), min_size=2, max_size=40, unique=True)


def all_rows(**rules: Any) -> Recipe:
    return Recipe(name="mine", version=1, method="sft", **{"min_rows": 2, **rules})


def new_rows(**rules: Any) -> Recipe:
    return all_rows(start="champion", rows="new", **rules)


@given(rows=_IDS, seen=st.none() | st.sets(st.sampled_from([*ROWS, "row-gone"])), seed=st.integers(0, 2**32 - 1))
def test_all_rows_are_taken_as_they_lie_and_those_seen_before_are_counted(
    rows: list[str], seen: set[str] | None, seed: int
) -> None:
    found = select(all_rows(), rows, seen, seed)
    assert list(found.rows) == rows
    assert found.replayed == len(set(rows) & (seen or set()))


@given(
    rows=_IDS,
    seen=st.sets(st.integers(0, 60).map(lambda number: f"row-{number}") | st.just("row-gone")),
    replay=st.floats(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_new_rows_come_all_with_their_share_of_old_ones_and_what_left_never_comes_back(
    rows: list[str], seen: set[str], replay: float, seed: int
) -> None:
    recipe = new_rows(replay=replay)
    new = [row for row in rows if row not in seen]
    wanted = min(round(replay * len(new)), len(rows) - len(new))
    if len(new) + wanted < recipe.min_rows:
        with pytest.raises(TooFewRowsError):
            select(recipe, rows, seen, seed)
        return
    found = select(recipe, rows, seen, seed)
    assert [row for row in found.rows if row not in seen] == new
    assert len([row for row in found.rows if row in seen]) == found.replayed == wanted
    assert list(found.rows) == [row for row in rows if row in set(found.rows)]
    assert select(recipe, rows, seen, seed) == found


def test_from_the_bare_base_every_row_is_new() -> None:
    found = select(new_rows(replay=0), ROWS, None, 7)
    assert (list(found.rows), found.replayed) == (ROWS, 0)


def test_the_replayed_rows_are_the_same_for_a_seed_and_others_for_another() -> None:
    seen = set(ROWS[:30])
    by_seed = {seed: tuple(select(new_rows(replay=1), ROWS, seen, seed).rows) for seed in range(8)}
    assert all(len(rows) == 20 for rows in by_seed.values())
    assert len(set(by_seed.values())) == 8
    assert tuple(select(new_rows(replay=1), ROWS, seen, 3).rows) == by_seed[3]


def test_an_old_row_is_drawn_by_its_own_lot_whatever_others_there_are() -> None:
    seen = set(ROWS[:30])
    few = set(select(new_rows(replay=0.5), ROWS, seen, 7).rows)
    many = set(select(new_rows(replay=1), ROWS, seen, 7).rows)
    left = next(row for row in ROWS if row in few and row in seen)
    without = set(select(new_rows(replay=0.5), [row for row in ROWS if row != left], seen, 7).rows)
    assert few < many
    assert few - without == {left}
    assert len(without) == len(few)


@pytest.mark.parametrize(
    ("recipe", "seen", "told"),
    [
        (all_rows(min_rows=41), None, "40 rows for sft, and recipe mine wants 41 or more: wait for more feedback"),
        (all_rows(min_rows=41), set(ROWS), "40 rows for sft"),
        (new_rows(min_rows=16), set(ROWS), "0 new rows for sft, and recipe mine wants 16 or more"),
        (new_rows(min_rows=16, replay=0.5), set(ROWS[10:]), "15 new rows"),
        (new_rows(min_rows=41), None, "40 rows for sft, and recipe mine wants 41 or more: wait for more feedback, or"),
    ],
)
def test_too_few_rows_are_told_with_how_many_there_are(recipe: Recipe, seen: set[str] | None, told: str) -> None:
    with pytest.raises(TooFewRowsError) as caught:
        select(recipe, ROWS, seen, 7)
    assert str(caught.value).startswith(told)
    assert str(caught.value).endswith('lower "min_rows"')


def test_just_enough_rows_are_enough() -> None:
    assert len(select(all_rows(min_rows=40), ROWS, None, 7).rows) == 40
    assert len(select(new_rows(min_rows=15, replay=0.5), ROWS, set(ROWS[10:]), 7).rows) == 15


def test_rows_that_were_not_there_before_are_counted() -> None:
    assert unseen(ROWS, set(ROWS[:30]) | {"row-gone"}) == 10
    assert unseen([], set(ROWS)) == 0


def test_an_adapter_is_trained_on_only_on_the_very_base_it_belongs_to() -> None:
    check_base("mine-1", Base(name="/old/place", digest="a"), Base(name="/new/place", digest="a"))
    with pytest.raises(RefusedError, match="the champion mine-1 belongs to small as it was, and not to small"):
        check_base("mine-1", Base(name="small", digest="a"), Base(name="small", digest="b"))


@pytest.mark.parametrize("method", ["dpo", "sft"])
def test_where_nothing_is_held_out_for_watching_nothing_is_watched(tmp_path: Path, method: Method) -> None:
    policy = read_policy().model_copy(update={"splits": Splits(train=1, validation=0, test=0)})
    dataset = Datasets(tmp_path / "datasets").publish(polite(6), policy).dataset
    rows = [row for row, _ in dataset.identified(method, "train")]
    assert validation_set(dataset, method, tmp_path) is None
    assert len(training_set(dataset, method, Selection(tuple(rows), 0), tmp_path)) == len(rows) > 0
