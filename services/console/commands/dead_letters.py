"""`tailrace dead-letters list|show|replay`: what could not be handled, why, and back again."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from libs.bus import Record
from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from schemas.topics import topic_named
from services.console.adapters.connection import with_bus
from services.console.adapters.editor import edit as edit_body
from services.console.adapters.terminal import out, print_json
from services.console.commands.stack import Json
from services.console.domain.addresses import dead_letter_name, read_address
from services.console.domain.dead_letters import DeadLetter, describe, shown_body
from services.console.domain.errors import ConsoleError
from services.console.domain.spans import since_ms
from services.console.handlers import dead_letters as handlers

app = typer.Typer(no_args_is_help=True, help="What could not be handled, why, and back again.")

Topic = Annotated[str | None, typer.Option(help="Only of this topic (its own name or that of its dead letters).")]
Code = Annotated[str | None, typer.Option(help="Only with this reason code, e.g. invalid_request.")]
Reason = Annotated[str | None, typer.Option(help="Only with this text in the reason.")]

IDS_ARE_KEPT = (
    "Keys, headers and ids are kept: a prompt that has its outcome already is not answered a second time. "
    "To have it answered after mending it, give it a new prompt_id (--edit)."
)


@app.command("list")
def list_letters(
    topic: Topic = None,
    code: Code = None,
    reason: Reason = None,
    since: Annotated[str, typer.Option(help="How far back: 90s, 15m, 1h, 2d.")] = "24h",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    as_json: Json = False,
) -> None:
    """Dead letters, newest first, with their reasons."""
    name, moment = dead_letter_name(topic) if topic else None, since_ms(since, utc_now())

    async def work(bus: KafkaBus) -> list[DeadLetter]:
        return await handlers.newest(bus, limit, topic=name, code=code, reason=reason, since_ms=moment)

    letters = with_bus(work)
    print_json(list(letters)) if as_json else _show_list(letters, since)


def _show_list(letters: list[DeadLetter], since: str) -> None:
    if not letters:
        out().print(f"No dead letters in the last {since}.")
        return
    table = Table("address", "time", "stage", "code", "prompt", "reason")
    for it in letters:
        time = it.time.strftime("%m-%d %H:%M:%S") if it.time else "-"
        table.add_row(it.address, time, it.stage, it.code, escape(it.prompt_id or "-"), escape(it.reason))
    out().print(table)


@app.command()
def show(
    address: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET")],
    content: Annotated[
        bool, typer.Option("--content", help="The body too, even if it may hold personal data.")
    ] = False,
    as_json: Json = False,
) -> None:
    """One dead letter: its reason, its headers, and its body as text or as hex."""
    place = read_address(address)

    async def work(bus: KafkaBus) -> Record:
        return await handlers.fetch(bus, place)

    record = with_bus(work)
    letter = describe(record)
    private = topic_named(place.topic).before_the_gate and not content
    form, body = ("withheld", "") if private else shown_body(record.value)
    headers = [(name, value.decode(errors="backslashreplace")) for name, value in record.headers]
    if as_json:
        print_json({**letter.model_dump(mode="json"), "headers": headers, "body_form": form, "body": body or None})
    else:
        _show_letter(letter, headers, form, body)


def _show_letter(letter: DeadLetter, headers: list[tuple[str, str]], form: str, body: str) -> None:
    console = out()
    for name, value in letter.model_dump(mode="json").items():
        console.print(f"[bold]{name:<10}[/] {escape(str(value))}")
    console.print("[bold]headers[/]")
    for name, value in headers:
        if not name.startswith("dlq_"):
            console.print(f"  {escape(name)}: {escape(value)}")
    told = "withheld: it lies before the gate and may hold personal data; --content shows it"
    console.print(f"[bold]body[/] ({told if form == 'withheld' else form})")
    if body:
        console.print(escape(body), soft_wrap=True)


@app.command()
def replay(
    addresses: Annotated[list[str] | None, typer.Argument(metavar="[TOPIC/PARTITION/OFFSET]...")] = None,
    topic: Topic = None,
    code: Code = None,
    reason: Reason = None,
    since: Annotated[str, typer.Option(help="How far back, where no addresses are given.")] = "24h",
    edit: Annotated[bool, typer.Option("--edit", help="Mend each body in $EDITOR first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written back.")] = False,
    as_json: Json = False,
) -> None:
    """Write records back to the topic they came from, by address or by filter."""
    if bool(addresses) == bool(topic or code or reason):
        raise ConsoleError("name addresses, or else a filter: --topic, --code, --reason", exit_code=2)
    places = [read_address(text) for text in addresses or ()]
    name, moment = dead_letter_name(topic) if topic else None, since_ms(since, utc_now())

    async def find(bus: KafkaBus) -> list[Record]:
        if places:
            return [await handlers.fetch(bus, place) for place in places]
        found = handlers.find(bus, topic=name, code=code, reason=reason, since_ms=moment)
        return [record async for _, record in found]

    records = with_bus(find)
    chosen = [(r, edit_body(r.value or b"", describe(r).address) if edit else r.value) for r in records]
    written = [] if dry_run else with_bus(lambda bus: handlers.replay(bus, chosen))
    _report([describe(r) for r in records], [str(place) for place in written], dry_run=dry_run, as_json=as_json)


def _report(letters: list[DeadLetter], written: list[str], *, dry_run: bool, as_json: bool) -> None:
    targets = [letter.origin.split("/")[0] for letter in letters] if dry_run else written
    pairs = [{"from": letter.address, "to": target} for letter, target in zip(letters, targets, strict=True)]
    if as_json:
        print_json({"dry_run": dry_run, "replayed": pairs, "note": IDS_ARE_KEPT})
        return
    for pair in pairs:
        out().print(f"  {pair['from']} {'would go' if dry_run else 'went'} to {pair['to']}")
    out().print(f"{len(pairs)} {'would be' if dry_run else ''} replayed. {IDS_ARE_KEPT}".replace("  ", " "))
