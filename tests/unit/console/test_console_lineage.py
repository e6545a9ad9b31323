"""`tailrace lineage` over folders of data sets and adapters: from answers to what was made of them, and back."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from libs.datasets import Dataset, Datasets, Policy
from libs.model_registry import Adapter, Adapters, Champions, Examinations, Serving, Turn
from libs.model_registry.adapters import CARD
from schemas.base import ModelUsed
from schemas.evaluation import ModelEvaluated
from schemas.feedback import ExampleRecorded
from services.console.domain.models import Models
from tests.support.examples import example, judged
from tests.support.small_adapters import MORNING, small, trained_on
from tests.unit.console.conftest import Told

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
POLICY = Policy(name="test", version=1)


def liked(name: str, **model: str) -> ExampleRecorded:
    better = judged("edit", f"Something better than {name}.", feedback_id=f"e-{name}")
    said = example(name, judged("thumb", True, feedback_id=f"t-{name}"), better, text=f"Answer {name}")
    return said.model_copy(update={"model": ModelUsed(name="smol", version="1", **model)})


class World:
    """Answers of the bare base are in a data set; an adapter is trained on it, answers, and so on."""

    def __init__(self, home: Path) -> None:
        data = home.parents[1]
        self.datasets = Datasets(home)
        models = data / "models"
        self.models = Models(Adapters(models), Champions(models), Examinations(data / "examinations"))
        self.one = self.publish(liked("r-1"))
        self.first = self.train(1.0, self.one)

    def publish(self, *examples: ExampleRecorded) -> Dataset:
        return self.datasets.publish(examples, POLICY).dataset

    def train(self, number: float, dataset: Dataset | str, recipe: str = "mine", **card: object) -> Adapter:
        name = dataset if isinstance(dataset, str) else dataset.name
        at = MORNING.replace(minute=int(number))
        return small(self.models.adapters, number, recipe, trained=trained_on(name), trained_at=at, **card)

    def turn(self, action: str, model: Adapter | None, **fields: object) -> None:
        def decide(serving: Serving, revision: int) -> Turn:
            name = None if model is None else model.name
            told = {"revision": revision, "action": action, "request_id": f"q-{revision}", "model": name, "at": NOON}
            return Turn.model_validate({**told, "reason": f"for {revision}", **fields})

        self.models.champions.change(f"q-{len(self.models.champions.turns()) + 1}", decide)

    def examine(self, model: Adapter, *, passed: bool, hour: int) -> None:
        said = ModelEvaluated(
            evaluation_id=f"eval-{hour}", request_id="q", model=model.name, base="smol", passed=passed,
            reasons=("so",), gate="g@1-a", checks=(), metrics={}, seconds=1, evaluated_at=NOON.replace(hour=hour),
        )  # fmt: skip
        self.models.examinations.keep(said, "# report")


@pytest.fixture
def world(home: Path) -> World:
    return World(home)


def test_lineage_leads_from_an_answer_to_rows_and_from_a_row_to_its_answer(told: Told, world: World) -> None:
    two = world.publish(liked("r-1"), liked("r-2"))
    found = told.json("lineage", "r-1")
    assert {it["dataset"] for it in found} == {world.one.name, two.name}
    assert sorted(it["kind"] for it in found) == ["dpo", "dpo", "kto", "kto", "sft", "sft"]
    (row,) = told.json("lineage", found[0]["row"], "--dataset", world.one.name)
    assert row["answers"][0]["response_id"] == "r-1"
    text = told("lineage", "t-r-2")
    assert "kto, made of votes" in text
    assert "answer r-2: prompt p-r-2, conversation c-r-2, smol/1, answer@1\n" in text


@pytest.mark.parametrize("recorded", [True, False])
def test_one_can_walk_from_an_answer_over_its_adapter_to_the_answers_that_taught_it_and_back(
    told: Told, world: World, recorded: bool
) -> None:
    wrote = {"adapter": world.first.name, **({"dataset": world.one.name} if recorded else {})}
    two = world.publish(liked("r-2", **wrote))
    second, third = world.train(2.0, two), world.train(3.0, two, recipe="other")
    rows = told.json("lineage", "r-2")
    assert {(it["dataset"], it["answers"][0]["adapter_dataset"]) for it in rows} == {(two.name, world.one.name)}
    assert told.json("lineage", world.first.name)["dataset"] == world.one.name
    assert told.json("lineage", world.one.name)["adapters"] == [world.first.name]
    taught = told.json("lineage", "r-1", "--dataset", world.one.name)
    assert {(*it["adapters"], it["answers"][0]["adapter_dataset"]) for it in taught} == {(world.first.name, None)}
    assert {tuple(it["adapters"]) for it in rows} == {(second.name, third.name)}
    text = told("lineage", rows[0]["row"])
    assert f"its adapter was trained on data set {world.one.name[:12]}\n" in text
    assert f"trained on this data set: {second.name}, {third.name}\n" in text


def test_an_answer_of_an_adapter_that_is_gone_names_the_data_set_that_was_recorded(told: Told, world: World) -> None:
    world.publish(liked("r-2", adapter="gone-0123456789ab", dataset="d" * 64), liked("r-3", adapter="gone-too"))
    assert {it["answers"][0]["adapter_dataset"] for it in told.json("lineage", "r-2")} == {"d" * 64}
    assert {it["answers"][0]["adapter_dataset"] for it in told.json("lineage", "r-3")} == {None}


def test_an_adapter_is_told_with_what_it_was_made_of_and_what_became_of_it(told: Told, world: World) -> None:
    adapter = world.train(2.0, world.one, started_from=world.first.name)
    world.examine(adapter, passed=False, hour=3)
    world.examine(adapter, passed=True, hour=4)
    world.examine(world.first, passed=False, hour=5)
    world.turn("promote", world.first)
    world.turn("promote", adapter, share=0.25, champion=world.first.name, previous=world.first.name)
    world.turn("promote", adapter, previous=world.first.name)
    world.turn("rollback", world.first, rolled_back=adapter.name)
    world.turn("rollback", None, rolled_back=world.first.name)
    found = told.json("lineage", adapter.name)
    turns = found.pop("turns")
    assert found == {
        "kind": "adapter", "name": adapter.name, "fault": None, "base": "smol", "started_from": world.first.name,
        "dataset": world.one.name, "dataset_is_here": True, "policy": "test@1-def", "rows": 40, "replayed": 3,
        "recipe": "mine@1-abc", "run": "run-2.0", "trained_at": "2026-03-02T08:02:00Z", "verdict": "passed",
        "gate": "g@1-a", "evaluation": "eval-4", "evaluated_at": "2026-03-02T04:00:00Z", "serves": None,
    }  # fmt: skip
    assert [(it["revision"], it["action"], it["serves"], it["reason"]) for it in turns] == [
        (2, "promote", "25% of the conversations", "for 2"),
        (3, "promote", "all", "for 3"),
        (4, "rollback", None, "for 4"),
    ]
    other = told.json("lineage", world.first.name)
    assert [it["serves"] for it in other["turns"]] == ["all", "the others", "served before", "all", None]
    text = told("lineage", adapter.name)
    assert f"data set  {world.one.name}, by test@1-def" in text
    assert "verdict  passed by g@1-a (eval-4, 2026-03-02T04:00:00Z)" in text
    assert f"revision 4  2026-03-02T12:00:00Z  rollback {adapter.name}: for 4; this one serves nothing\n" in text


def test_a_challenger_that_gives_way_to_another_is_told_so_though_nobody_names_it(told: Told, world: World) -> None:
    adapter = world.train(2.0, world.one)
    world.turn("promote", world.first, share=0.1)
    world.turn("promote", adapter, share=0.5)
    assert [it["serves"] for it in told.json("lineage", world.first.name)["turns"]] == [
        "10% of the conversations",
        None,
    ]
    assert [it["revision"] for it in told.json("lineage", adapter.name)["turns"]] == [2]


def test_a_champion_is_in_each_promotion_that_leaves_it_the_others(told: Told, world: World) -> None:
    adapter, champion = world.train(2.0, world.one), world.first.name
    world.turn("promote", world.first)
    for share in (0.1, 0.5):
        world.turn("promote", adapter, share=share, champion=champion, previous=champion)
    assert [it["serves"] for it in told.json("lineage", champion)["turns"]] == ["all", "the others", "the others"]


def test_a_data_set_is_told_with_the_adapters_that_were_trained_on_it(told: Told, world: World) -> None:
    two = world.publish(liked("r-2"))
    second = world.train(2.0, world.one)
    found = told.json("lineage", world.one.name[:8])
    assert (found["kind"], found["name"], found["policy"]) == ("dataset", world.one.name, POLICY.label)
    assert found["adapters"] == [world.first.name, second.name]
    assert datetime.fromisoformat(found["written_at"]) == world.one.written_at
    assert found["rows"] == {kind: {"train": 1} for kind in ("dpo", "kto", "sft")}
    assert told.json("lineage", "latest")["name"] == two.name
    text = told("lineage", two.name)
    assert "adapters trained on it: none\n" in text
    assert f"by {POLICY.label}\n  rows 1 dpo, 1 kto, 1 sft\n" in text


@pytest.mark.parametrize("card", [None, "{}"])
def test_an_adapter_whose_card_cannot_be_read_is_told_as_far_as_it_is_known(
    told: Told, world: World, card: str | None
) -> None:
    second = world.train(2.0, world.one)
    whole = told.json("lineage", world.first.name)
    world.turn("promote", world.first)
    (world.first.folder / CARD).unlink()
    if card is not None:
        (world.first.folder / CARD).write_text(card)
    found = told.json("lineage", world.first.name)
    assert found.keys() == whole.keys()
    assert (found["dataset"], found["dataset_is_here"], found["serves"]) == (None, False, "all")
    assert CARD in found["fault"]
    assert f"{CARD}" in told("lineage", world.first.name)
    assert told.json("lineage", world.one.name)["adapters"] == [second.name]
    assert {tuple(it["adapters"]) for it in told.json("lineage", "r-1")} == {(second.name,)}


def test_an_adapter_of_a_data_set_that_is_not_here_says_so(told: Told, world: World) -> None:
    adapter = world.train(2.0, "d" * 64)
    found = told.json("lineage", adapter.name)
    assert (found["dataset"], found["dataset_is_here"]) == ("d" * 64, False)
    text = told("lineage", adapter.name)
    assert f"data set  {'d' * 64} (not here), by test@1-def" in text
    assert "verdict  not examined" in text


def test_first_letters_name_an_adapter_or_a_data_set_where_there_is_one_alone(told: Told, world: World) -> None:
    other, same = world.train(2.0, world.one, "other"), world.train(3.0, world.one, recipe=world.one.name[:4])
    assert told.json("lineage", "oth")["name"] == other.name
    second = world.train(4.0, world.one)
    may_be = f'"min" may be {world.first.name}, {second.name}: type more of it'
    assert may_be in told("lineage", "min", code=2)
    both = f'"{world.one.name[:4]}" may be {same.name}, {world.one.name}: type more of it'
    assert both in told("lineage", world.one.name[:4], code=2)
    assert told.json("lineage", f"{world.one.name[:4]}-")["name"] == same.name
    assert told.json("lineage", world.one.name[:5])["name"] == world.one.name
    assert told.json("lineage", world.one.name[:3])["name"] == same.name


def test_a_whole_name_comes_before_an_id_and_an_id_before_first_letters(told: Told, world: World) -> None:
    world.publish(*map(liked, (world.first.name, "mine", "latest")))
    assert told.json("lineage", world.first.name)["kind"] == "adapter"
    assert told.json("lineage", "latest")["kind"] == "dataset"
    for name in (world.first.name, "latest"):
        (answer,) = {it["answers"][0]["response_id"] for it in told.json("lineage", name, "--dataset", "latest")}
        assert answer == name
    assert {it["answers"][0]["response_id"] for it in told.json("lineage", "mine")} == {"mine"}
    assert told.json("lineage", "mine-")["name"] == world.first.name


def test_what_is_nowhere_is_one_line_that_says_where_was_looked(told: Told, world: World, home: Path) -> None:
    world.publish(liked("r-2"))
    line = told("lineage", "nothing", code=1)
    assert f'"nothing" is in none of 2 data sets in {home};' in line
    assert f"none of 1 adapters in {world.models.adapters.folder}, has a name that begins so" in line
    assert f'"r-2" is not in data set {world.one.name}' in told("lineage", "r-2", "--dataset", world.one.name, code=1)
    assert "no data set" in told("lineage", "r-1", "--dataset", "zz", code=1)


def test_without_any_data_set_or_adapter_nothing_is_found(told: Told, home: Path) -> None:
    for wanted in ("latest", "mine", "r-1"):
        assert "none of 0 data sets" in told("lineage", wanted, code=1)
