"""`tailrace datasets list|show|diff|export|publish`: what feedback has become."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from libs.datasets import KINDS, SPLITS, Dataset, Difference, Form, diff
from libs.datasets import log as publishing
from schemas.training import DatasetPublished
from services.console.adapters.connection import with_bus
from services.console.adapters.datasets import policy_in, the_datasets
from services.console.adapters.exports import export_to
from services.console.adapters.terminal import out, print_json, progress
from services.console.commands.stack import Json
from services.console.settings import ConsoleSettings

app = typer.Typer(no_args_is_help=True, help="Data sets for training, made of feedback.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name, or four or more of its first digits, or latest.")]
_SHORT = 12


@app.command(name="list")
def list_datasets(as_json: Json = False) -> None:
    """All data sets, the oldest first."""
    found = [_facts(dataset) for dataset in the_datasets(ConsoleSettings()).list()]
    if as_json:
        print_json(found)
        return
    table = Table("data set", "written", "policy", *KINDS, box=None)
    for it in found:
        counts = [str(sum(it["rows"].get(kind, {}).values())) for kind in KINDS]
        table.add_row(it["name"][:_SHORT], it["written_at"], it["policy"], *counts)
    out().print(table if found else "no data sets")


@app.command()
def show(
    name: Name = "latest",
    verify: Annotated[bool, typer.Option("--verify", help="Read all of it; exit code 1 where it was changed.")] = False,
    as_json: Json = False,
) -> None:
    """One data set: its rows by split, what was left out and why, its policy, where in the log it was read."""
    dataset = the_datasets(ConsoleSettings()).open(name)
    faults = dataset.verify() if verify else []
    facts = _facts(dataset)
    if as_json:
        manifest = dataset.manifest.model_dump(mode="json")
        print_json({**manifest, **facts, **({"faults": faults} if verify else {})})
    else:
        _show(dataset, facts)
        for line in faults:
            out().print(f"[red]{escape(line)}[/]")
        if verify and not faults:
            out().print("[green]as it was published[/]")
    if faults:
        raise typer.Exit(1)


@app.command(name="diff")
def differences(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A data set, as for `show`.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Another one.")] = "latest",
    rows: Annotated[int, typer.Option(min=0, max=100_000, help="So many changes are shown one by one.")] = 20,
    as_json: Json = False,
) -> None:
    """Which rows the one has and the other has not, and which went to another split."""
    datasets = the_datasets(ConsoleSettings())
    one, other = datasets.open(old), datasets.open(new)
    found = diff(one, other, keep=rows)
    if as_json:
        print_json({"old": one.name, "new": other.name, **asdict(found)})
    else:
        _show_difference(found)


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set, as for `show`.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    form: Annotated[str, typer.Option(help="conversational, plain, or both.")] = "both",
    as_json: Json = False,
) -> None:
    """Copy a data set's rows, lineage and manifest somewhere else, verified."""
    dataset = the_datasets(ConsoleSettings()).open(name)
    files = export_to(dataset, folder, _forms(form))
    if as_json:
        print_json({"name": dataset.name, "folder": str(folder), "files": files})
    else:
        out().print(f"{len(files)} files in {escape(str(folder))}")


@app.command()
def publish(
    policy: Annotated[Path | None, typer.Option(help="A policy file; the shipped default without one.")] = None,
    as_json: Json = False,
) -> None:
    """Make a data set of all examples on the log as it is now, and announce it on `dataset-published`.

    Where that very data set is there already, nothing changes, and nothing is said again.
    """
    rules, datasets = policy_in(policy), the_datasets(ConsoleSettings())

    async def work(bus: KafkaBus) -> tuple[bool, DatasetPublished]:
        with progress("examples") as shown:
            made = await publishing.publish(bus, datasets, rules, shown.advance)
        return made.is_new, await publishing.announce(bus, datasets, made.dataset, "console", utc_now)

    is_new, event = with_bus(work)
    if as_json:
        print_json({"is_new": is_new, **event.model_dump(mode="json")})
        return
    change = f"{event.added} rows added, {event.removed} removed" if is_new else "nothing has changed since"
    out().print(f"{event.name}  {sum(sum(it.values()) for it in event.rows.values())} rows; {change}", soft_wrap=True)


def _facts(dataset: Dataset) -> dict[str, Any]:
    manifest = dataset.manifest
    return {
        "name": dataset.name,
        "folder": str(dataset.folder),
        "written_at": f"{dataset.written_at:%Y-%m-%d %H:%M:%S}Z",
        "policy": manifest.policy.label,
        "rows": manifest.rows,
    }


def _forms(form: str) -> tuple[Form, ...]:
    forms: dict[str, tuple[Form, ...]] = {
        "both": ("conversational", "plain"),
        "conversational": ("conversational",),
        "plain": ("plain",),
    }
    if form not in forms:
        raise typer.BadParameter(f"'{form}' is no form; give {', '.join(forms)}")
    return forms[form]


def _show(dataset: Dataset, facts: dict[str, Any]) -> None:
    manifest, console = dataset.manifest, out()
    console.print(f"{dataset.name}\n  in {facts['folder']}\n  by {facts['policy']}", markup=False, soft_wrap=True)
    table = Table("rows", *SPLITS, box=None)
    for kind, splits in manifest.rows.items():
        table.add_row(kind, *(str(splits.get(split, 0)) for split in SPLITS))
    console.print(table)
    console.print(f"of {manifest.read['examples']} examples with {manifest.read['judgements']} judgements; left out:")
    for subject, reasons in manifest.left_out.items():
        for reason, count in reasons.items():
            console.print(f"  {count:>8} {subject}: {reason}")
    console.print(f"{manifest.erased_subjects} people erased; at most {manifest.largest_group} conversations joined")
    for topic, ends in manifest.sources.items():
        console.print(f"read from {topic} up to {', '.join(f'{p}/{end}' for p, end in ends.items())}")


def _show_difference(found: Difference) -> None:
    for change in found.changes:
        row = change.row
        told_of = ", ".join(answer.response_id for answer in row.answers)
        out().print(f"{change.change:<8} {row.kind} {row.row} {row.split} ({escape(told_of)})", soft_wrap=True)
    counts = ", ".join(f"{found.total(change)} {change}" for change in ("added", "removed", "moved"))
    policy = "the same policy" if found.same_policy else "another policy"
    out().print(f"{counts}, {found.same} the same; {policy}")
