"""`tailrace demo`: the guided tour."""

import sys
import time
from typing import Annotated

import typer
from rich.markup import escape

from infra.local import ENGINES
from services.console.adapters.terminal import err, out, print_json
from services.console.commands.stack import Json
from services.console.demo import guided_tour
from services.console.demo.pages import pages
from services.console.domain.errors import ConsoleError


def demo(
    engine: Annotated[str, typer.Option(help="What answers: transformers, openai or echo.")] = "transformers",
    loop: Annotated[
        bool | None, typer.Option("--loop/--no-loop", help="Train on feedback, examine, promote, roll back as well.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running afterwards.")] = False,
    as_json: Json = False,
) -> None:
    """Start everything, ask, attack and flood it, and report what it did. Leaves nothing running.

    The stack is one of its own, in a temporary folder, on free ports; with --keep it is the one of this folder.
    """
    if engine not in ENGINES:
        raise ConsoleError(f"no engine {engine!r}; known: {', '.join(ENGINES)}", exit_code=2)
    # Only the model of this machine learns, and a stack that stays shall not have the tour's small recipes and gate.
    can_learn = engine == "transformers" and not keep
    if loop and not can_learn:
        raise ConsoleError("--loop needs the engine transformers, and a stack that does not stay", exit_code=2)
    began = time.perf_counter()

    def say(text: str) -> None:
        err().print(f"[dim]{time.perf_counter() - began:6.1f} s  {escape(text)}[/]")

    report = guided_tour(engine=engine, loop=can_learn if loop is None else loop, keep=keep, say=say, on_text=_stream)
    if as_json:
        print_json(report)
        return
    for page in pages(report):
        out(at_most=120).print(page)
    out().print("The stack is still up: tailrace status, tailrace down." if keep else "Nothing is left running.")


def _stream(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
