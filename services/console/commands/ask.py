"""`tailrace ask`: one question over the gateway."""

import sys
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.markup import escape

from services.console.adapters.connection import gateway_address
from services.console.adapters.gateway import Answer, Gateway
from services.console.adapters.terminal import err, out, print_json
from services.console.commands.stack import Json
from services.console.domain.sources import source_lines
from services.console.settings import ConsoleSettings


class Grounding(StrEnum):
    """How to look for sources."""

    auto = "auto"
    off = "off"
    required = "required"


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.")],
    conversation: Annotated[
        str | None, typer.Option(help="Conversation id: earlier turns are taken into account.")
    ] = None,
    grounding: Annotated[
        Grounding, typer.Option(help="required refuses where no source is good enough.")
    ] = Grounding.auto,
    collection: Annotated[list[str] | None, typer.Option(help="Look only there; may be repeated.")] = None,
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="Show text as it is written.")] = True,
    as_json: Json = False,
) -> None:
    """Ask a question; the answer streams as it is written, then its sources."""
    gateway = Gateway(gateway_address(ConsoleSettings()))
    try:
        shown = stream and not as_json
        options = _options(grounding, collection, conversation)
        answer = gateway.ask(question, tailrace=options, stream=stream, on_text=_show_text if shown else _hold)
    finally:
        gateway.close()
    print_json(answer) if as_json else _show(answer, streamed=shown)
    if answer.refusal:
        raise typer.Exit(1)


def _options(grounding: Grounding, collections: list[str] | None, conversation: str | None) -> dict[str, Any]:
    where: dict[str, Any] = {"mode": grounding.value}
    if collections:
        where["collections"] = collections
    return {"grounding": where, **({"conversation_id": conversation} if conversation else {})}


def _show_text(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _hold(_: str) -> None:
    """The text is shown at the end."""


def _show(answer: Answer, *, streamed: bool) -> None:
    if not streamed:
        _show_text(answer.text)
    print()
    if streamed and answer.tailrace.get("text"):
        err().print("[yellow]the final text differs from what was streamed:[/]")
        print(answer.text)
    if answer.refusal:
        err().print(f"tailrace: the answer was withheld: {escape(answer.refusal)}")
    lines = source_lines(answer.tailrace.get("sources") or [])
    out().print("\n".join(["", *lines]) if lines else "", markup=False, end="\n" if lines else "")
