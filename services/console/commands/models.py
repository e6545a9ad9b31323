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
from schemas.evaluation import CanaryProgressed, EvaluationRequested, ModelPromoted, ModelRolledBack, PromotionRequested
from services.console.adapters.connection import with_bus
from services.console.adapters.models import the_models
from services.console.adapters.terminal import out, print_json
from services.console.commands.evaluate import show_verdict
from services.console.commands.stack import Json
from services.console.domain.errors import ConsoleError
from services.console.handlers.asking import PROMOTION, Following
from services.console.handlers.canary import last_progress
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
    canary: Annotated[
        str | None, typer.Option(metavar="PLAN", help="By a plan, share by share, while it holds: default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also where it has not passed.")] = False,
    reason: Reason = "",
    request_id: RequestId = None,
    as_json: Json = False,
) -> None:
    """Let an adapter serve. It must have passed the gate against what serves now."""
    model = the_models(ConsoleSettings()).named(name).name
    fields = {"model": model, "share": share, "canary": canary, "force": force, "reason": reason}
    _change("promote", request_id, as_json=as_json, **fields)


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
    more = f"; more of them by the plan {found.canary}: tailrace models canary" if found.canary else ""
    share = "all conversations" if found.share == 1 else f"{found.share:.0%} of the conversations"
    return f"{found.model} serves {share}{rest}{more}"


@app.command()
def canary(as_json: Json = False) -> None:
    """How the candidate on a share of the conversations does, as last told. Exit code 1: there is none."""

    async def work(bus: KafkaBus) -> CanaryProgressed | None:
        return await last_progress(bus)

    serving = the_models(ConsoleSettings()).champions.serving()
    told = with_bus(work) if serving.canary is not None else None
    if serving.canary is None:
        raise ConsoleError("no candidate is under a plan: `tailrace models promote NAME --canary default` begins one")
    if told is None or told.revision != serving.revision:
        raise ConsoleError(f"nothing was told of {serving.challenger} at {serving.share:.0%} yet: ask again")
    print_json(told) if as_json else _show_canary(told)


def _show_canary(told: CanaryProgressed) -> None:
    out().print(
        f"{told.model} at {told.share:.0%} by {told.plan}, {told.at:%Y-%m-%d %H:%M:%S} UTC: "
        f"{told.next.replace('_', ' ')} ({escape(told.reason)})",
        soft_wrap=True,
    )
    table = Table("", "state", "candidate", "champion", "items", "difference", "allowed", box=None)
    for it in told.checks:
        rates = (f"{rate:.1%}" if rate is not None else "" for rate in (it.candidate, it.champion))
        between = f"{it.low:+.1%} to {it.high:+.1%}" if it.low is not None and it.high is not None else ""
        table.add_row(it.measure, it.state, *rates, str(it.items), between, f"{it.by:.1%}")
    out().print(table)
