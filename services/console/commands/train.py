"""`tailrace train`: ask for a training, and watch it."""

import uuid
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape

from libs.bus import explain
from schemas.training import ModelTrained, TrainingRequested
from services.console.adapters.terminal import out, print_json
from services.console.commands.stack import Json
from services.console.commands.waiting import came_of
from services.console.domain.errors import ConsoleError
from services.console.handlers.asking import TRAINING


def train(
    recipe: Annotated[
        str, typer.Argument(help="What retraining has: dpo, kto and sft, unless told otherwise.")
    ] = "dpo",
    dataset: Annotated[str | None, typer.Option(help="Its name, or its first digits; the latest without.")] = None,
    seed: Annotated[int | None, typer.Option(help="In place of the recipe's own.")] = None,
    request_id: Annotated[str | None, typer.Option("--id", help="An id of your own; again, it is the same.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end.")] = False,
    as_json: Json = False,
) -> None:
    """Train an adapter on a data set. It is registered as candidate, and serves nobody before it is promoted."""
    request = _request(recipe, dataset, seed, request_id or f"train-{uuid.uuid4().hex[:12]}")
    trained = came_of(TRAINING, request, ModelTrained, f"training {recipe}", detach=detach, as_json=as_json)
    if trained is None:
        return
    print_json(trained) if as_json else _show(trained)


def _request(recipe: str, dataset: str | None, seed: int | None, request_id: str) -> TrainingRequested:
    try:
        return TrainingRequested(request_id=request_id, recipe=recipe, dataset=dataset, seed=seed)
    except ValidationError as error:
        raise ConsoleError(explain(error), exit_code=2) from None


def _show(trained: ModelTrained) -> None:
    shown = ("train_loss", "eval_loss", "eval_rewards/accuracies", "rewards/accuracies")
    found = [f"{name} {trained.metrics[name]:.4g}" for name in shown if name in trained.metrics]
    started = f"on from {trained.started_from}" if trained.started_from else f"on {trained.base}"
    lines = (
        f"{trained.model}  candidate, version {trained.version}",
        f"  {trained.method} {started}, {trained.rows} rows ({trained.replayed} replayed), {trained.steps} steps",
        f"  data set {trained.dataset}",
        *([f"  {', '.join(found)}"] if found else []),
    )
    for line in lines:
        out().print(escape(line), soft_wrap=True)
