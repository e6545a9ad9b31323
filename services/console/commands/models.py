"""`tailrace models list|show|promote|rollback`: which adapters there are, and which one serves."""

import uuid
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from libs.bus import explain
from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from schemas.evaluation import EvaluationRequested, ModelPromoted, ModelRolledBack, PromotionRequested
from services.console.adapters.connection import with_bus
from services.console.adapters.models import the_models
from services.console.adapters.terminal import out, print_json
from services.console.commands.evaluate import show_verdict
from services.console.commands.stack import Json
from services.console.domain.errors import ConsoleError
from services.console.handlers.asking import PROMOTION, Following
from services.console.ports import Silent
from services.console.settings import ConsoleSettings

app = typer.Typer(no_args_is_help=True, help="Trained adapters: which there are, which passed, which one serves.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="An adapter, or so many of its first letters; latest.")]
Reason = Annotated[str, typer.Option(help="For the record.")]
RequestId = Annotated[str | None, typer.Option("--id", help="An id of your own; again, it is the same.")]


@app.command(name="list")
def list_models(as_json: Json = False) -> None:
    """All adapters, the oldest first."""
    found = the_models(ConsoleSettings()).facts()
    if as_json:
        print_json(found)
        return
    table = Table("adapter", "trained", "recipe", "data set", "rows", "verdict", "serves", box=None)
    for it in found:
        shown = (it.get("trained_at"), it.get("recipe"), (it.get("dataset") or "")[:12], it.get("rows"))
        table.add_row(it["name"], *(str(value or "") for value in shown), it.get("verdict") or "", it["serves"] or "")
    out().print(table if found else "no adapters: `tailrace train` makes one")


@app.command()
def show(name: Name = "latest", as_json: Json = False) -> None:
    """One adapter: what it was made of, what the gate said of it, whether it serves."""
    models = the_models(ConsoleSettings())
    adapter = models.named(name)
    facts, said = models.facts_of(adapter), models.examinations.last(adapter.name)
    faults = adapter.verify()
    if as_json:
        card = {} if "fault" in facts else adapter.card.model_dump(mode="json")
        examined = None if said is None else said.model_dump(mode="json")
        print_json({**facts, "card": card, "examination": examined, "faults": faults})
    else:
        _show(facts, str(adapter.folder))
        if said is not None:
            show_verdict(said)
            out().print(f"  report  {models.examinations.folder / said.evaluation_id / 'report.md'}", soft_wrap=True)
        for line in faults:
            out().print(f"[red]{escape(line)}[/]", soft_wrap=True)
    if faults:
        raise typer.Exit(1)


def _show(facts: dict[str, Any], folder: str) -> None:
    shown = ("name", "trained_at", "recipe", "base", "started_from", "dataset", "rows", "serves")
    for key in shown:
        if (value := facts.get(key)) is not None:
            out().print(f"  {key.replace('_', ' ')}  {escape(str(value))}", soft_wrap=True)
    out().print(f"  folder  {escape(folder)}", soft_wrap=True)


@app.command()
def promote(
    name: Name,
    share: Annotated[float, typer.Option(help="Of the conversations; the champion keeps the others.")] = 1.0,
    force: Annotated[bool, typer.Option("--force", help="Also where it has not passed.")] = False,
    reason: Reason = "",
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Let an adapter serve. It must have passed the gate against what serves now."""
    model = the_models(ConsoleSettings()).named(name).name
    _change("promote", request_id, as_json=as_json, model=model, share=share, force=force, reason=reason)


@app.command()
def rollback(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only if this is what was promoted last.")
    ] = None,
    reason: Reason = "",
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Take back the last promotion: what served before serves again."""
    model = None if name is None else the_models(ConsoleSettings()).named(name).name
    _change("rollback", request_id, as_json=as_json, model=model, reason=reason)


def _change(action: str, request_id: str | None, *, as_json: bool, **fields: Any) -> None:
    try:
        request = PromotionRequested(
            request_id=request_id or f"{action}-{uuid.uuid4().hex[:12]}",
            **{"action": action, **fields},
        )
    except ValidationError as error:
        raise ConsoleError(explain(error), exit_code=2) from None

    async def work(bus: KafkaBus) -> Any:
        return await Following(bus, PROMOTION, request, Silent(), utc_now).run()

    found = with_bus(work)
    print_json(found) if as_json else out().print(_told(found), soft_wrap=True)
    if isinstance(found, EvaluationRequested):
        raise typer.Exit(1)


def _told(found: ModelPromoted | ModelRolledBack | EvaluationRequested) -> str:
    if isinstance(found, EvaluationRequested):
        return (
            f"not yet: {found.model} was compared with another champion than serves now, and is examined again; "
            "where it passes, it serves"
        )
    if isinstance(found, ModelRolledBack):
        return f"{found.model or 'the bare base'} serves; {found.rolled_back} does not any more"
    rest = f", {found.champion or 'the bare base'} the others" if found.share < 1 else ""
    return f"{found.model} serves {'all conversations' if found.share == 1 else f'{found.share:.0%} of them'}{rest}"
