"""`tailrace dead-letters replay`: records written back to where they came from, mended where they must be."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from libs.bus import Bus, Record
from libs.clock import utc_now
from services.console.adapters.connection import with_bus
from services.console.adapters.editor import edit as edit_body
from services.console.adapters.terminal import out, print_json
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
from services.console.domain.addresses import Address, Range, read_range
from services.console.domain.dead_letters import Wanted
from services.console.domain.errors import ConsoleError
from services.console.domain.mending import changed
from services.console.handlers import dead_letters, writing_back
from services.console.handlers.writing_back import Chosen, Planned

IDS_ARE_KEPT = (
    "Keys, headers and ids are kept: a prompt that has its outcome already is not answered a second time. "
    "--as-new asks it under an id of its own."
)
Mend = Callable[[Record, Record], Chosen | Planned]


def replay(
    addresses: Annotated[list[str] | None, typer.Argument(metavar="[TOPIC/PARTITION/OFFSET[-LAST]]...")] = None,
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
    edit: Annotated[bool, typer.Option("--edit", help="Mend each body in $EDITOR first.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE in each body, e.g. parameters.seed=7; repeatable.")
    ] = None,
    unset: Annotated[list[str] | None, typer.Option(help="Take PATH out of each body; repeatable.")] = None,
    body: Annotated[str | None, typer.Option(metavar="FILE", help="This body instead; - reads stdin.")] = None,
    as_new: Annotated[
        bool, typer.Option("--as-new", help="Ask the prompt from its beginning, under an id made of its own.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written back.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before writing several.")] = False,
    as_json: Json = False,
) -> None:
    """Write records back to the topic they came from: by address, by range, or by filter (then pending ones only).

    A prompt that has its outcome is left out, and so is what its topic still could not read. Exit code 1: something
    was left out.
    """
    meant = wanted(
        utc_now(), topic=topic, stage=stage, code=code, reason=reason, tenant=tenant, prompt=prompt, since=since,
        until=until, start=start, end=end, shadows=shadows,
    )  # fmt: skip
    filtered = any((topic, stage, code, reason, tenant, prompt, since, until, start, end))
    if bool(addresses) == filtered:
        raise ConsoleError(
            "name addresses, or else a filter: --topic, --stage, --code, --reason, --tenant, --prompt, --since …",
            exit_code=2,
        )
    ranges = [read_range(text) for text in addresses or ()]
    bases = with_bus(lambda bus: _bases(bus, ranges, meant, as_new=as_new))
    mend = _mending(edit, set_ or [], unset or [], body, len(bases))
    chosen = [it if isinstance(it, Planned) else mend(*it) for it in bases]
    planned = with_bus(lambda bus: _plan(bus, chosen, as_new=as_new))
    outgoing = [it.outgoing for it in planned if it.outgoing is not None]
    if not dry_run and len(outgoing) > 1 and not yes:
        _confirm(planned, len(outgoing))
    written = [] if dry_run or not outgoing else with_bus(lambda bus: writing_back.write(bus, outgoing))
    _report(planned, written, dry_run=dry_run, as_json=as_json)
    if len(outgoing) < len(planned):
        raise typer.Exit(1)


async def _bases(
    bus: Bus, ranges: list[Range], meant: Wanted, *, as_new: bool
) -> list[tuple[Record, Record] | Planned]:
    """Each letter with the record to write back, or why there is none."""
    if ranges:
        letters = [record for place in ranges for record in await _in_range(bus, place)]
    else:
        found = [(letter, record) async for letter, record in dead_letters.find(bus, meant)]
        marked = await dead_letters.marked(bus, [letter for letter, _ in found])
        letters = [record for (_, record), letter in zip(found, marked, strict=True) if letter.replayed is None]
    return [await _base(bus, letter, as_new=as_new) for letter in letters]


async def _in_range(bus: Bus, place: Range) -> list[Record]:
    if place.first == place.last:
        return [await dead_letters.fetch(bus, Address(place.topic, place.partition, place.first))]
    return [record async for record in dead_letters.fetch_range(bus, place)]


async def _base(bus: Bus, letter: Record, *, as_new: bool) -> tuple[Record, Record] | Planned:
    try:
        return letter, await writing_back.base_of(bus, letter, as_new=as_new)
    except ConsoleError as error:
        return writing_back.left_out(letter, str(error))


def _mending(edit: bool, settings: list[str], removals: list[str], body: str | None, count: int) -> Mend:
    if body is not None and count > 1:
        raise ConsoleError(f"--body is one body, and these are {count} letters; name one", exit_code=2)
    given = None if body is None else sys.stdin.buffer.read() if body == "-" else Path(body).read_bytes()

    def mend(letter: Record, base: Record) -> Chosen | Planned:
        try:
            mended = changed(base.value if given is None else given, settings, removals)
        except ConsoleError as error:
            if error.exit_code != 1:
                raise
            return writing_back.left_out(letter, str(error))
        chosen = Chosen(letter, base, mended)
        return replace(chosen, body=edit_body(mended or b"", str(chosen.address))) if edit else chosen

    return mend


async def _plan(bus: Bus, chosen: list[Chosen | Planned], *, as_new: bool) -> list[Planned]:
    """In the order they were chosen in."""
    planned = iter(await writing_back.plan(bus, [it for it in chosen if isinstance(it, Chosen)], as_new=as_new))
    return [it if isinstance(it, Planned) else next(planned) for it in chosen]


def _confirm(planned: list[Planned], count: int) -> None:
    for it in planned:
        typer.echo(f"  {it.letter.address} {it.says if it.outgoing else f'left out: {it.says}'}", err=True)
    if not sys.stdin.isatty():
        raise ConsoleError(f"{count} records would be written; say so with --yes, or look with --dry-run", exit_code=2)
    if not typer.confirm(f"Write {count} records back?", err=True):
        raise ConsoleError("nothing was replayed")


def _report(planned: list[Planned], written: list[Address], *, dry_run: bool, as_json: bool) -> None:
    places = iter(written)
    done = [(it, str(next(places, it.outgoing.topic))) for it in planned if it.outgoing is not None]
    left = [it for it in planned if it.outgoing is None]
    if as_json:
        told = [{"from": it.letter.address, "to": to, "prompt_id": it.prompt_id} for it, to in done]
        not_told = [{"from": it.letter.address, "why": it.says, "prompt_id": it.prompt_id} for it in left]
        print_json({"dry_run": dry_run, "replayed": told, "left_out": not_told, "note": IDS_ARE_KEPT})
        return
    for it, to in done:
        named = f" as prompt {it.prompt_id}" if it.prompt_id and it.prompt_id != it.letter.prompt_id else ""
        says = f"  {it.letter.address} {'would go' if dry_run else 'went'} to {to}{named}"
        out().print(escape(says), soft_wrap=True)
    for it in left:
        out().print(f"  [yellow]{it.letter.address} left out[/]: {escape(it.says)}", soft_wrap=True)
    verb = "would be replayed" if dry_run else "replayed"
    out().print(f"{len(done)} {verb}, {len(left)} left out. {IDS_ARE_KEPT}", soft_wrap=True)
