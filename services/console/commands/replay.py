"""`tailrace replay`: a stretch of history asked again as shadows, and the two sides next to each other."""

import re
import secrets
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from services.console.adapters.connection import with_bus
from services.console.adapters.terminal import err, out, print_json, progress
from services.console.commands.stack import Json
from services.console.domain.comparison import Row, Side, counted, marked
from services.console.domain.errors import ConsoleError
from services.console.domain.shadows import SOURCES, Overrides
from services.console.domain.spans import read_moment, read_span
from services.console.handlers.replay import Replay
from services.console.handlers.stretches import Bound, Stretch

INTERRUPTED = 130


class Into(StrEnum):
    """Where shadows run. Only the batch lane: nobody waits for them."""

    batch = "batch"


def replay(
    topic: Annotated[str, typer.Option(help=f"What to read: {', '.join(SOURCES)}.")] = SOURCES[0],
    start: Annotated[
        str | None, typer.Option("--from", help="2026-01-31T10:00 (UTC), a span ago (2h), or an offset.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Up to, and without: as --from.")] = None,
    into: Annotated[Into, typer.Option(help="The lane in which shadows run.")] = Into.batch,
    template: Annotated[str | None, typer.Option(help="Ask with this template: NAME@VERSION.")] = None,
    model: Annotated[str | None, typer.Option(help="Ask this model.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="parameters.NAME=VALUE or grounding.NAME=VALUE; repeatable.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's prompts.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the oldest.")] = 1000,
    run: Annotated[str | None, typer.Option(help="Take this run up again; its answered shadows are kept.")] = None,
    in_flight: Annotated[int, typer.Option(min=1, max=1000, help="Shadows under way at once.")] = 32,
    patience: Annotated[str, typer.Option(help="Give up when no outcome came for so long.")] = "10m",
    content: Annotated[bool, typer.Option("--content/--no-content", help="Show the texts.")] = True,
    as_json: Json = False,
) -> None:
    """Ask a stretch of history again, beside it: in the batch lane, with outcomes of their own that no upstream sees.

    Ctrl-C shows what came so far; --run goes on. Exit code 0: all compared; 1: some are open or could not be asked.
    """
    del into
    if topic not in SOURCES:
        raise ConsoleError(f'"{topic}" holds no prompts to ask again; choose one of: {", ".join(SOURCES)}', exit_code=2)
    now = utc_now()
    stretch = Stretch(topic, _bound(start, now), _bound(end, now), tenant, limit)
    overrides = Overrides(template, model, tuple(set_ or ()))
    name = _run_name(run, now)
    err().print(f"run {name}", markup=False)
    replays: list[Replay] = []
    interrupted = _interrupted(replays, stretch, overrides, name, in_flight, patience)
    if replays:
        report(replays[0], name, content=content, as_json=as_json)
    if interrupted:
        err().print(f"go on with --run {name} and the same options", markup=False)
        raise typer.Exit(INTERRUPTED)
    if replays and any(row.verdict in ("open", "not asked") for row in replays[0].rows):
        raise typer.Exit(1)


def _interrupted(
    replays: list[Replay], stretch: Stretch, overrides: Overrides, name: str, in_flight: int, patience: str
) -> bool:
    """Runs it; whether Ctrl-C cut it short."""

    async def work(bus: KafkaBus) -> None:
        with progress("replay") as shown:
            waits = read_span(patience)
            replays.append(Replay(bus, stretch, overrides, name, shown, in_flight=in_flight, patience=waits))
            await replays[0].run()

    try:
        with_bus(work)
    except KeyboardInterrupt:
        return True
    return False


def _run_name(given: str | None, now: datetime) -> str:
    name = given or f"{now:%Y%m%d-%H%M}-{secrets.token_hex(2)}"
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", name) is None:
        raise ConsoleError(f'--run "{name}": at most 32 letters, digits, dots, hyphens and underscores', exit_code=2)
    return name


def _bound(text: str | None, now: datetime) -> Bound:
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return int(text)
    if re.fullmatch(r"\d{1,6}[smhd]", text):
        return now - read_span(text)
    return read_moment(text)


def report(done: Replay, name: str, *, content: bool, as_json: bool) -> None:
    """The two sides of each prompt, and the sum."""
    rows, counts = done.rows, counted(done.rows)
    if as_json:
        hidden = None if content else {side: {"text"} for side in ("original", "shadow")}
        told = [row.model_dump(mode="json", exclude=hidden) for row in rows]
        print_json({"run": name, "prompts": len(rows), **counts, "gone": done.gone, "rows": told})
        return
    for line in done.gone:
        err().print(f"[yellow]{escape(line)}[/]", soft_wrap=True)
    if rows:
        out().print(_table(rows, content=content))
    told_counts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    out().print(f"{len(rows)} prompts: {told_counts or 'none in this range'}; run {name}", soft_wrap=True)


def _table(rows: list[Row], *, content: bool) -> Table:
    table = Table("prompt", "verdict", "original", "shadow", show_lines=content)
    for row in rows:
        verdict = f"{row.verdict}{f', {row.alike:.0%} alike' if row.alike not in (None, 1.0) else ''}"
        left, right = _texts(row) if content else ("", "")
        shadow = row.says if row.says is not None else _cell(row.shadow, right)
        table.add_row(*map(escape, (row.prompt_id, verdict, _cell(row.original, left), shadow)))
    return table


def _texts(row: Row) -> tuple[str, str]:
    left = row.original.text if row.original else None
    right = row.shadow.text if row.shadow else None
    if left is not None and right is not None and left != right:
        return marked(left, right)
    return left or "", right or ""


def _cell(side: Side | None, text: str) -> str:
    if side is None:
        return "-"
    status = f"{side.status}{f' ({side.code}: {side.message})' if side.code else ''}"
    tokens = "" if side.completion_tokens is None else f", {side.prompt_tokens}+{side.completion_tokens} tokens"
    asked = " ".join(filter(None, (side.template, side.model)))
    facts = f"{status}{tokens}, {len(side.sources)} sources, {side.took_ms:.0f} ms{f', {asked}' if asked else ''}"
    return f"{facts}\n{text}" if text else facts
