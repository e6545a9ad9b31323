"""`tailrace up`, `down`, `status`: the local stack."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from infra.local import Progress, StackError, StackStatus, choose
from infra.local import down as stop_stack
from infra.local import status as stack_status
from infra.local import up as start_stack
from services.console.adapters.terminal import err, out, print_json
from services.console.domain.errors import ConsoleError

_COLOURS = {
    "ready": "green",
    "running": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "already running": "green",
}

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of a table.")]


def up(
    engine: Annotated[
        str | None, typer.Option(help="What answers: transformers (default), openai (any compatible server) or echo.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Start only this service; may be repeated.")] = None,
    scale: Annotated[
        list[str] | None, typer.Option(help="SERVICE=N: so many processes of it; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Start the broker and the services on this machine, and wait until all are ready."""
    try:
        options = choose(only=only or (), scale=dict(map(_scale, scale or ())), engine=engine)
    except ValueError as error:
        raise ConsoleError(str(error), exit_code=2) from error
    try:
        stack = start_stack(options, _tell)
    except StackError as error:
        raise ConsoleError(str(error)) from error
    print_json(stack) if as_json else _how_to_go_on(stack)


def _scale(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if not (name and count.isascii() and count.isdigit()):
        raise ConsoleError(f'--scale "{text}": write SERVICE=N, for example grounding=2', exit_code=2)
    return name, int(count)


def _tell(progress: Progress) -> None:
    colour = _COLOURS.get(progress.state, "white")
    err().print(f"  {progress.subject:<18} [{colour}]{progress.state:<15}[/] {escape(progress.detail)}".rstrip())


def _how_to_go_on(stack: StackStatus) -> None:
    out().print(
        f"[bold green]Tailrace is up.[/]\n"
        f"  broker    {stack.bootstrap_servers}\n"
        f"  gateway   {stack.gateway or 'not started'}\n\n"
        '  tailrace ask "What is a dead letter?"     asks and streams the answer\n'
        "  tailrace documents add docs README.md     fills the knowledge base\n"
        "  tailrace status                           what runs, and how far behind it is\n"
        "  tailrace down                             stops all of it"
    )


def down(as_json: Json = False) -> None:
    """Stop everything of the local stack, in order. Data, keys and logs stay in its folder."""
    try:
        stopped = stop_stack()
    except StackError as error:
        raise ConsoleError(str(error)) from error
    if as_json:
        print_json({"supervisor": stopped.supervisor, "leftovers": list(stopped.leftovers)})
    elif stopped.supervisor is None and not stopped.leftovers:
        out().print("Nothing was running.")
    else:
        for leftover in stopped.leftovers:
            out().print(f"  ended {escape(leftover)}, which no supervisor stopped")
        out().print("Tailrace is down.")


def status(as_json: Json = False) -> None:
    """What runs: state, process, restarts, lag and memory of each service."""
    stack = stack_status()
    print_json(stack) if as_json else _show(stack)


def _show(stack: StackStatus) -> None:
    console = out()
    console.print(f"Tailrace is [bold]{stack.state}[/] in {escape(stack.home)}")
    for line in (stack.problem, *stack.warnings, *(f"left over: {name}" for name in stack.leftovers)):
        if line:
            console.print(f"[yellow]{escape(line)}[/]")
    if stack.broker is None and not stack.services:
        console.print("Start it with `tailrace up`.")
        return
    console.print(f"broker {stack.bootstrap_servers or '-'}   gateway {stack.gateway or '-'}")
    console.print(_table(stack))


def _table(stack: StackStatus) -> Table:
    table = Table("service", "state")
    for name in ("pid", "restarts", "lag", "memory"):
        table.add_column(name, justify="right")
    parts = {**({"broker": stack.broker} if stack.broker else {}), **stack.services}
    for name, service in parts.items():
        for i in service.instances:
            lag = "" if i.instance or service.lag is None else str(service.lag)
            label = name if len(service.instances) == 1 else f"{name}-{i.instance}"
            state = f"[{_COLOURS.get(i.state, 'red')}]{i.state}[/]"
            table.add_row(label, state, str(i.pid or "-"), str(i.restarts), lag, megabytes(i.rss_bytes))
    table.add_section()
    table.add_row("all", "", "", "", "", megabytes(stack.rss_bytes))
    return table


def megabytes(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 1e6:,.0f} MB"
