"""`tailrace trace`: one prompt's way."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from services.console.adapters.connection import with_bus
from services.console.adapters.terminal import out, print_json
from services.console.commands.stack import Json
from services.console.domain.errors import ConsoleError
from services.console.domain.spans import since_ms
from services.console.domain.trace import Hop, Trace
from services.console.handlers.trace import trace as find_trace


def trace(
    prompt_id: Annotated[str, typer.Argument(help="The upstream's own id of the prompt.")],
    tenant: Annotated[str, typer.Option(help="Whose prompt.")] = "default",
    conversation: Annotated[str | None, typer.Option(help="Its conversation id; makes the search quicker.")] = None,
    since: Annotated[str, typer.Option(help="How far back to look: 90s, 15m, 1h, 2d.")] = "1h",
    as_json: Json = False,
) -> None:
    """Each event of one prompt: where it lies, who wrote it, and what time was spent and waited. Never content."""
    moment = since_ms(since, utc_now())

    async def work(bus: KafkaBus) -> Trace | None:
        return await find_trace(bus, prompt_id, tenant, conversation, moment)

    found = with_bus(work)
    if found is None:
        raise ConsoleError(
            f'nothing of prompt "{prompt_id}" of tenant "{tenant}" is on the topics since {since} ago; '
            "look further back with --since"
        )
    print_json(found) if as_json else show_trace(found)


def show_trace(found: Trace) -> None:
    """The way as a table, and what came of it."""
    table = Table("ms", "event", "written by", "address", "took", "handled", "waited", "detail")
    for hop in found.hops:
        table.add_row(*_row(hop))
    console = out()
    console.print(table)
    console.print(_end(found))
    if found.stages_ms:
        console.print("per stage: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in found.stages_ms.items()))
    for line in found.pending:
        console.print(f"[yellow]{escape(line)}[/]")


def _row(hop: Hop) -> tuple[str, ...]:
    return (
        f"{hop.since_submitted_ms:.1f}",
        hop.event,
        hop.service or "upstream",
        hop.address,
        *("" if ms is None else f"{ms:.1f}" for ms in (hop.took_ms, hop.handled_ms, hop.waited_ms)),
        escape(hop.detail or ""),
    )


def _end(found: Trace) -> str:
    if found.status is None:
        return "[yellow]no outcome yet[/]"
    reason = f" ({found.reason.code}: {escape(found.reason.message)})" if found.reason else ""
    first = f", first text after {found.first_text_ms:.0f} ms" if found.first_text_ms is not None else ""
    return f"{found.status}{reason} after {found.total_ms or 0:.0f} ms{first}"
