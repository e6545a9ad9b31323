"""`tailrace dead-letters list|show`: what could not be handled, where, why, and what to do about it."""

from datetime import timedelta
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from libs.bus import Record
from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from schemas.topics import topic_named
from services.console.adapters.connection import with_bus
from services.console.adapters.terminal import out, print_json
from services.console.commands import dead_letters_replay
from services.console.commands.letter_filters import (
    Code,
    From,
    Prompt,
    Reason,
    Shadows,
    Since,
    Stage,
    Tenant,
    To,
    Topic,
    Until,
    wanted,
)
from services.console.commands.stack import Json
from services.console.domain.addresses import Address, read_address
from services.console.domain.advice import advice
from services.console.domain.dead_letters import DeadLetter, describe, shown_body
from services.console.domain.mending import may_be_mended, problem
from services.console.domain.outcomes import Answered
from services.console.handlers import dead_letters as handlers
from services.console.handlers.outcomes import outcomes_of
from services.console.handlers.writing_back import KNOWN_FOR

app = typer.Typer(no_args_is_help=True, help="What could not be handled, why, and back again.")
app.command("replay")(dead_letters_replay.replay)


@app.command("list")
def list_letters(
    topic: Topic = None,
    stage: Stage = None,
    code: Code = None,
    reason: Reason = None,
    tenant: Tenant = None,
    prompt: Prompt = None,
    since: Since = None,
    until: Until = None,
    start: From = None,
    end: To = None,
    shadows: Shadows = False,
    pending: Annotated[bool, typer.Option("--pending", help="Only those that were not replayed.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    as_json: Json = False,
) -> None:
    """Dead letters, newest first, with their reasons, and where they were replayed to."""
    meant = wanted(
        utc_now(), topic=topic, stage=stage, code=code, reason=reason, tenant=tenant, prompt=prompt, since=since,
        until=until, start=start, end=end, shadows=shadows,
    )  # fmt: skip

    async def work(bus: KafkaBus) -> list[DeadLetter]:
        return await handlers.newest(bus, limit, meant, pending=pending)

    letters = with_bus(work)
    print_json(list(letters)) if as_json else _show_list(letters)


def _show_list(letters: list[DeadLetter]) -> None:
    if not letters:
        out().print("No such dead letters in this time.")
        return
    table = Table("address", "time", "stage", "code", "tenant", "prompt", "replayed to", "reason")
    for it in letters:
        time = it.time.strftime("%m-%d %H:%M:%S") if it.time else "-"
        prompt = f"{it.prompt_id or '-'}{f' (shadow of {it.shadow})' if it.shadow else ''}"
        cells = (it.address, time, it.stage, it.code, it.tenant or "-", prompt, it.replayed or "pending", it.reason)
        table.add_row(*map(escape, cells))
    out().print(table)


@app.command()
def show(
    address: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET")],
    content: Annotated[
        bool, typer.Option("--content", help="The body too, even if it may hold personal data.")
    ] = False,
    as_json: Json = False,
) -> None:
    """One dead letter: its reason, its headers, its body as text or as hex, and what to do about it."""
    place = read_address(address)
    record, letter, outcome = with_bus(lambda bus: _found(bus, place))
    private = topic_named(place.topic).before_the_gate and not content
    form, body = ("withheld", "") if private else shown_body(record.value)
    headers = [(name, value.decode(errors="backslashreplace")) for name, value in record.headers]
    steps = list(_steps(letter, record, outcome))
    if as_json:
        told = {**letter.model_dump(mode="json"), "outcome": outcome and str(outcome), "advice": steps}
        print_json({**told, "headers": headers, "body_form": form, "body": body or None})
    else:
        _show_letter(letter, headers, form, body, steps)


async def _found(bus: KafkaBus, place: Address) -> tuple[Record, DeadLetter, Answered | None]:
    record = await handlers.fetch(bus, place)
    [letter] = await handlers.marked(bus, [describe(record)])
    if letter.identity is None:
        return record, letter, None
    since = record.timestamp - int(KNOWN_FOR / timedelta(milliseconds=1))
    return record, letter, (await outcomes_of(bus, [letter.identity], since)).get(letter.identity)


def _steps(letter: DeadLetter, record: Record, outcome: Answered | None) -> list[str]:
    origin = topic_named(record.topic).dead_letters_of or ""
    return list(advice(letter, problem(origin, record.value), outcome, mendable=may_be_mended(origin)))


def _show_letter(letter: DeadLetter, headers: list[tuple[str, str]], form: str, body: str, steps: list[str]) -> None:
    console = out()
    for name, value in letter.model_dump(mode="json").items():
        if value is not None:
            console.print(f"[bold]{name:<13}[/] {escape(str(value))}", soft_wrap=True)
    console.print("[bold]headers[/]")
    for name, value in headers:
        if not name.startswith("dlq_"):
            console.print(f"  {escape(name)}: {escape(value)}", soft_wrap=True)
    told = "withheld: it lies before the gate and may hold personal data; --content shows it"
    console.print(f"[bold]body[/] ({told if form == 'withheld' else form})")
    if body:
        console.print(escape(body), soft_wrap=True)
    console.print("[bold]what to do[/]")
    for step in steps:
        console.print(f"  {escape(step)}", soft_wrap=True)
