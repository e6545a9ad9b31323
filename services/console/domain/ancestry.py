"""What is told of rows, data sets and adapters when somebody asks what was made of what. Never content."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from libs.datasets import Answered, Kind, RowLineage, Split
from libs.model_registry import Adapter, AdapterError, Serving, Turn
from schemas.evaluation import ModelEvaluated
from services.console.domain.models import Models, serves


class AnswerMade(Answered):
    """An answer that a row was made of, and what had taught its model."""

    adapter_dataset: str | None
    """Of the adapter that wrote it; None: none did, or nobody knows."""


class RowMade(RowLineage):
    """A row in one data set."""

    dataset: str
    answers: tuple[AnswerMade, ...]
    adapters: tuple[str, ...]
    """Trained on that data set, the oldest first."""


class _Made(BaseModel):
    model_config = ConfigDict(frozen=True)


class DatasetMade(_Made):
    """A data set, and what was made of it."""

    kind: Literal["dataset"] = "dataset"
    name: str
    policy: str
    rows: dict[Kind, dict[Split, int]]
    written_at: datetime
    adapters: tuple[str, ...]
    """As in `RowMade`."""


class Turned(Turn):
    """A promotion or a rollback, and what the adapter in question serves from then on."""

    serves: str | None


class AdapterMade(_Made):
    """What an adapter was made of, and what became of it. Much is None where its card cannot be read."""

    kind: Literal["adapter"] = "adapter"
    name: str
    fault: str | None = None
    """Of its card."""
    base: str | None = None
    started_from: str | None = None
    """An adapter; None: the bare base."""
    dataset: str | None = None
    dataset_is_here: bool = False
    policy: str | None = None
    rows: int | None = None
    """Trained on; replayed ones among them."""
    replayed: int | None = None
    recipe: str | None = None
    run: str | None = None
    trained_at: datetime | None = None
    verdict: Literal["passed", "failed"] | None = None
    """Of its last examination."""
    gate: str | None = None
    evaluation: str | None = None
    evaluated_at: datetime | None = None
    serves: str | None = None
    turns: tuple[Turned, ...] = ()
    """The oldest first."""


def adapter_made(models: Models, adapter: Adapter) -> AdapterMade:
    """All but whether its data set is here. Raises AdapterError where what serves is damaged."""
    made = {"name": adapter.name, **_made_of(adapter), **_examined(models.examinations.last(adapter.name))}
    turns = tuple(turned(adapter.name, models.champions.turns()))
    return AdapterMade.model_validate({**made, "turns": turns, "serves": turns[-1].serves if turns else None})


def turned(adapter: str, turns: Sequence[Turn]) -> Iterator[Turned]:
    """Those that name the adapter, or after which it serves other conversations than before."""
    serving = Serving()
    for turn in turns:
        before, serving = serves(adapter, serving), serving.after(turn)
        named = adapter in (turn.model, turn.champion, turn.previous, turn.rolled_back)
        # Another challenger takes a challenger's place without naming it.
        if named or serves(adapter, serving) != before:
            yield Turned(**dict(turn), serves=serves(adapter, serving))


def _examined(said: ModelEvaluated | None) -> dict[str, object]:
    if said is None:
        return {}
    verdict = "passed" if said.passed else "failed"
    return {"verdict": verdict, "gate": said.gate, "evaluation": said.evaluation_id, "evaluated_at": said.evaluated_at}


def _made_of(adapter: Adapter) -> dict[str, object]:
    try:
        card = adapter.card
    except AdapterError as error:
        return {"fault": str(error)}
    return {
        "base": card.base.name,
        "started_from": card.started_from,
        "dataset": card.trained.dataset,
        "policy": card.trained.policy,
        "rows": card.trained.train,
        "replayed": card.trained.replayed,
        "recipe": card.recipe,
        "run": card.run_id,
        "trained_at": card.trained_at,
    }
