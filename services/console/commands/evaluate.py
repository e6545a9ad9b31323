"""`tailrace evaluate`: have a candidate examined against the champion, and watch it."""

import uuid
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from libs.bus import explain
from schemas.evaluation import EvaluationRequested, ModelEvaluated
from services.console.adapters.models import the_models
from services.console.adapters.terminal import out, print_json
from services.console.commands.stack import Json
from services.console.commands.waiting import came_of
from services.console.domain.errors import ConsoleError
from services.console.handlers.asking import EVALUATION
from services.console.settings import ConsoleSettings


def evaluate(
    model: Annotated[str, typer.Argument(help="An adapter, or so many of its first letters; latest.")] = "latest",
    gate: Annotated[str | None, typer.Option(help="Of those that evaluation has; default without.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Whose held-out rows are asked; else that of its training.")
    ] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Where it passes, it serves at once.")] = False,
    request_id: Annotated[str | None, typer.Option("--id", help="An id of your own; again, it is the same.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end.")] = False,
    as_json: Json = False,
) -> None:
    """Examine an adapter against what serves. Exit code 0: it passed; 1: it did not, and the reasons are told."""
    name = the_models(ConsoleSettings()).named(model).name
    request = _request(name, gate, dataset, request_id or f"evaluate-{uuid.uuid4().hex[:12]}", promote=promote)
    said = came_of(EVALUATION, request, ModelEvaluated, f"examining {name}", detach=detach, as_json=as_json)
    if said is None:
        return
    print_json(said) if as_json else show_verdict(said)
    if not said.passed:
        raise typer.Exit(1)


def _request(
    model: str, gate: str | None, dataset: str | None, request_id: str, *, promote: bool
) -> EvaluationRequested:
    try:
        return EvaluationRequested(request_id=request_id, model=model, gate=gate, dataset=dataset, promote=promote)
    except ValidationError as error:
        raise ConsoleError(explain(error), exit_code=2) from None


def show_verdict(said: ModelEvaluated) -> None:
    """The verdict, its rules and what was measured."""
    verdict = "[green]passed[/]" if said.passed else "[red]did not pass[/]"
    out().print(f"{said.model}  {verdict}  {escape(said.gate)}, against {said.champion or f'the bare {said.base}'}")
    if not said.checks:
        for reason in said.reasons:
            out().print(f"  {escape(reason)}", soft_wrap=True)
        return
    table = Table("", "metric", "must", "candidate", "champion", "items", "", box=None)
    for it in said.checks:
        numbers = ("" if value is None else f"{value:.4g}" for value in (it.candidate, it.champion))
        mark = "[green]holds[/]" if it.passed else "[red]fails[/]"
        table.add_row(mark, it.metric, it.must.replace("_", " "), *numbers, str(it.items), escape(it.reason))
    out().print(table)
