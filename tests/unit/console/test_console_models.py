"""Adapters as an operator names and sees them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from libs.model_registry import Adapters, Champions, Examinations, Turn
from libs.model_registry.adapters import CARD
from schemas.evaluation import (
    EvaluationRequested,
    ModelEvaluated,
    ModelPromoted,
    ModelRolledBack,
)
from services.console.commands.models import _told
from services.console.domain.errors import ConsoleError
from services.console.domain.models import Models
from tests.support.small_adapters import small

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    folder = tmp_path / "models"
    found = Models(Adapters(folder), Champions(folder), Examinations(tmp_path / "reports"))
    for number, recipe in ((1.0, "mine"), (2.0, "mine"), (3.0, "other")):
        small(found.adapters, number, recipe)
    return found


def promote(models: Models, name: str, share: float = 1.0) -> None:
    def decide(serving: object, revision: int) -> Turn:
        request_id = f"p-{revision}"
        return Turn(revision=revision, action="promote", request_id=request_id, model=name, share=share, at=NOON)

    models.champions.change(f"{name}-{share}", decide)


def examined(models: Models, name: str, *, passed: bool, hour: int) -> None:
    said = ModelEvaluated(
        evaluation_id=f"eval-{name}-{hour}", request_id="q", model=name, base="smol", passed=passed, reasons=("so",),
        gate="g@1-a", checks=(), metrics={}, seconds=1, evaluated_at=NOON.replace(hour=hour),
    )  # fmt: skip
    models.examinations.keep(said, "# report")


def test_an_adapter_is_named_by_as_many_letters_as_it_takes(models: Models) -> None:
    other = next(it for it in models.adapters.list() if it.name.startswith("other"))
    assert models.named("oth") == models.named(other.name) == other
    assert models.named("latest") == models.adapters.list()[-1]
    with pytest.raises(ConsoleError, match=r'"mine" may be mine-.*, mine-.*: type more of it'):
        models.named("mine")
    with pytest.raises(ConsoleError, match=r'no adapter "x" in .*; `tailrace models list` shows all'):
        models.named("x")


def test_a_list_says_what_passed_last_and_what_serves(models: Models) -> None:
    first, second, third = (it.name for it in models.adapters.list())
    examined(models, first, passed=False, hour=3)
    examined(models, first, passed=True, hour=4)
    examined(models, second, passed=False, hour=5)
    promote(models, second)
    promote(models, first)
    promote(models, third, 0.25)
    facts = {it["name"]: (it["verdict"], it["serves"]) for it in models.facts()}
    assert facts == {
        first: ("passed", "the others"),
        second: ("failed", "served before"),
        third: (None, "25% of the conversations"),
    }
    shown = models.facts_of(models.named(first))
    assert (shown["evaluation"], shown["rows"], shown["recipe"]) == (f"eval-{first}-4", 40, "mine@1-abc")


def test_a_damaged_card_is_told_and_hides_no_other(models: Models) -> None:
    adapter = models.named("other")
    (adapter.folder / CARD).write_text("{}")
    faults = {it["name"]: it.get("fault") for it in models.facts()}
    assert "card.json is damaged" in (faults.pop(adapter.name) or "")
    assert list(faults.values()) == [None, None]
    assert models.named(adapter.name).folder == adapter.folder


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (ModelPromoted(revision=1, model="a", share=1, request_id="q", promoted_at=NOON), "a serves all conversations"),
        (
            ModelPromoted(revision=1, model="a", share=0.1, champion="b", request_id="q", promoted_at=NOON),
            "a serves 10% of the conversations, b the others",
        ),
        (
            ModelPromoted(revision=1, model="a", share=0.1, canary="slow", request_id="q", promoted_at=NOON),
            "a serves 10% of the conversations, the bare base the others; more of them by the plan slow: ",
        ),
        (
            ModelRolledBack(revision=2, rolled_back="a", request_id="q", rolled_back_at=NOON),
            "the bare base serves; a does not any more",
        ),
        (EvaluationRequested(request_id="q", model="a"), "not yet: a was compared with another champion"),
    ],
)
def test_what_came_of_a_wish_is_told_in_a_sentence(
    event: ModelPromoted | ModelRolledBack | EvaluationRequested, says: str
) -> None:
    assert _told(event).startswith(says)
