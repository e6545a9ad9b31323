"""`tailrace batch list|show|cancel|schedules`: the gateway's batch jobs, and what starts them by the clock."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from services.console.adapters.batches import Batches
from services.console.adapters.connection import gateway_address
from services.console.adapters.terminal import err, out, print_json
from services.console.commands.stack import Json
from services.console.settings import ConsoleSettings

BatchId = Annotated[str, typer.Argument(metavar="BATCH_ID")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to `tailrace batch`."""
    app.command(name="list")(list_jobs)
    app.command()(show)
    app.command()(cancel)
    app.command()(schedules)


def list_jobs(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="As many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """The gateway's batch jobs, of the key's tenant."""
    found = list(_batches().jobs(limit))
    if as_json:
        print_json(found)
        return
    table = Table("batch", "status", "lines", "answered", "errors", "created", "started by", box=None)
    for job in found:
        counts = job["request_counts"]
        numbers = [str(counts[name]) for name in ("total", "completed", "failed")]
        started_by = (job["metadata"] or {}).get("schedule", "")
        table.add_row(job["id"], job["status"], *numbers, _time(job["created_at"]), escape(started_by))
    out().print(table if found else "no batches")


def show(batch_id: BatchId, as_json: Json = False) -> None:
    """One batch job: its state, its times, its files, and why it failed."""
    _print(_batches().job(batch_id), as_json=as_json)


def cancel(batch_id: BatchId, as_json: Json = False) -> None:
    """Cancel a batch job: what is in flight ends, the rest is not asked; results so far can be read."""
    _print(_batches().cancel(batch_id), as_json=as_json)


def schedules(as_json: Json = False) -> None:
    """Schedules of the gateway: when they run next, and their last run. Exit code 1: their file cannot be used."""
    found = _batches().schedules()
    if as_json:
        print_json(found)
    elif found["data"]:
        table = Table("schedule", "cron", "time zone", "next", "last", "last batch", "problem", box=None)
        for one in found["data"]:
            when = _time(one["next_at"]) if one["enabled"] else "off"
            last = (_time(one["last_tick"]), one["last_batch_id"] or "", escape(one["problem"] or ""))
            table.add_row(one["name"], one["cron"], one["timezone"], when, *last)
        out().print(table)
    else:
        out().print("no schedules")
    if found["problem"]:
        err().print("the file of schedules cannot be used as it is now; the gateway's log says where and why")
        raise typer.Exit(1)


def _print(job: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    counts = job["request_counts"]
    told = f"{counts['completed']} of {counts['total']} lines answered, {counts['failed']} errors"
    out().print(f"{job['id']}  {job['status']}  {told}", markup=False)
    for name in [name for name in job if name.endswith("_at") and job[name] is not None]:
        out().print(f"  {name.removesuffix('_at').replace('_', ' '):<12} {_time(job[name])}", markup=False)
    for name in ("input_file_id", "output_file_id", "error_file_id"):
        out().print(f"  {name.removesuffix('_file_id'):<12} {job[name] or '-'}", markup=False)
    for problem in (job["errors"] or {"data": []})["data"]:
        out().print(f"  {problem['code']}: {problem['message']}", markup=False)


def _batches() -> Batches:
    return Batches(gateway_address(ConsoleSettings()))


def _time(seconds: int | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}Z"
