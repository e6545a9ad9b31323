"""The tour's loop: what its people want, what turned-round judgements are, and what its pages show."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from libs.bus import InMemoryBus, Outgoing, encode
from libs.datasets import Datasets
from schemas.evaluation import Check
from schemas.feedback import ExampleRecorded
from services.console.demo.loop import script
from services.console.demo.loop.pages import pages
from services.console.demo.loop.report import Answer, Candidate, Judged, Loop
from services.console.demo.loop.stations import _examples, _turned_round
from services.evaluation.adapters.gate_files import read_gates
from services.retraining.adapters.recipe_files import read_recipes
from tests.support.examples import example, judged


def test_people_ask_different_things_and_want_one_thing() -> None:
    asked = script.questions()
    assert len(set(asked)) == len(asked) >= script.LEARNED_FROM + script.ASKED_AFTER
    assert asked == script.questions()
    assert script.preferred("To clean it, use a cloth.") == "In short: to clean it, use a cloth."


def test_its_recipe_and_its_gate_can_be_read() -> None:
    assert set(read_recipes(script.FOLDER / "recipes")) == {"demo"}
    (gate,) = read_gates(script.FOLDER / "gates").values()
    assert {"preference_accuracy", "retained_accuracy"} <= {rule.metric for rule in gate.rules}


async def recorded(bus: InMemoryBus, count: int) -> None:
    told: list[ExampleRecorded] = [
        example(f"r-{n}", judged("edit", f"In short: it is number {n}.", by=f"person-{n}"), asked=question,
                text=f"As for that, it is number {n}.")
        for n, question in enumerate(script.questions()[:count])
    ]  # fmt: skip
    told.append(example("r-other", judged("edit", "Something else.", by="ann")))
    for it in told:
        await bus.append(Outgoing("example-recorded", it.response_id.encode(), encode(it)))


async def test_judgements_turned_round_want_what_people_did_not(in_memory: InMemoryBus, tmp_path: Path) -> None:
    await recorded(in_memory, 24)
    assert len(await _examples(in_memory)) == 24
    dataset = await _turned_round(in_memory, Datasets(tmp_path))
    rows = [row for split in ("train", "test") for row in dataset.rows("dpo", split)]
    assert len(rows) == 24
    assert all(row["chosen"][-1]["content"].startswith("As for that") for row in rows)
    assert all(row["rejected"][-1]["content"].startswith("In short") for row in rows)
    assert dataset.manifest.rows["dpo"]["test"] >= 4


def candidate(model: str, *, passed: bool) -> Candidate:
    check = Check(metric="retained_accuracy", must="not_fall", passed=passed, candidate=0.25, champion=1, reason="so")
    return Candidate(
        model=model, rows=30, steps=10, train_seconds=61.5, passed=passed, reasons=("so",), checks=(check,),
        exam_seconds=40,
    )  # fmt: skip


@pytest.mark.parametrize("passed", [True, False])
def test_its_pages_show_what_was_learned_what_was_stopped_and_what_came_back(passed: bool) -> None:
    before = (Answer(question="How?", text="As for that.", adapter=None),)
    after = (Answer(question="How?", text="In short: so.", adapter="demo-1"),)
    loop = Loop(
        judged=Judged(wish="In short:", answers=56, dataset="d", rows={"dpo": {"train": 34, "test": 22}}, seconds=9),
        candidate=candidate("demo-1", passed=passed), before=before, after=after,
        sabotaged=candidate("demo-2", passed=False), still_serves="demo-1", rolled_back="demo-1" if passed else None,
        promotion_seconds=2.5 if passed else None, rollback_seconds=0.4 if passed else None,
        after_rollback=before, seconds=300,
    )  # fmt: skip
    console = Console(width=200, record=True, file=io.StringIO())
    for page in pages(loop):
        console.print(page)
    shown = console.export_text()
    for told in ("dpo 34 train, 22 test", "stopped by the gate", "retained_accuracy", "after the sabotage: demo-1"):
        assert told in shown
    assert ("without it after 0.4 s" in shown) is passed
    assert ("2.5 s after the promotion" in shown) is passed
    assert ("answers as before it: 1 of 1" in shown) is passed
    assert ("In short: so." in shown) is passed
