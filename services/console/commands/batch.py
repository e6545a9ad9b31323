"""`tailrace batch run`: many prompts on the batch lane."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from services.console.adapters.connection import with_bus
from services.console.adapters.files import batch_lines
from services.console.adapters.results import ResultFile
from services.console.adapters.terminal import out, print_json, progress
from services.console.commands.stack import Json
from services.console.domain.errors import ConsoleError
from services.console.domain.spans import since_ms
from services.console.handlers.batch import Batch

app = typer.Typer(no_args_is_help=True, help="Many prompts at once, behind what people wait for.")


@app.callback()
def batch() -> None:
    """Many prompts at once, behind what people wait for."""


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="One prompt-submitted body per line.")],
    output: Annotated[Path | None, typer.Option(help="Result lines; default FILE.results.jsonl.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Take an interrupted run up again.")] = False,
    in_flight: Annotated[int, typer.Option(min=1, max=10_000, help="Prompts under way at once.")] = 64,
    earlier: Annotated[
        str, typer.Option(help="Outcomes this old still answer a line whose prompt_id they carry.")
    ] = "24h",
    label: Annotated[str, typer.Option(help="Goes into ids made for lines without one; another label asks anew.")] = "",
    as_json: Json = False,
) -> None:
    """Ask every line and write one result line each, in any order.

    A malformed line gets a result too (status refused, with its line number). Ctrl-C leaves a file that --resume
    takes up. Exit code 0 once every line has its result, whatever the result says.
    """
    if not file.is_file():
        raise ConsoleError(f"{file}: there is no such file", exit_code=2)
    chosen = output or file.with_suffix(".results.jsonl")
    since = since_ms(earlier, utc_now())
    with ResultFile(chosen, resume=resume) as results:

        async def work(bus: KafkaBus) -> int:
            with progress("batch") as shown:
                made = Batch(bus, partial(batch_lines, file), results, shown, in_flight=in_flight, label=label)
                await made.run(since)
            return made.total

        try:
            total = with_bus(work)
        except KeyboardInterrupt:
            done = sum(results.counts.values())
            raise ConsoleError(
                f"interrupted; {done} results are in {chosen}; go on with --resume", exit_code=130
            ) from None
    _report(total, results.counts, chosen, as_json=as_json)


def _report(total: int, counts: dict[str, int], output: Path, *, as_json: bool) -> None:
    if as_json:
        print_json({"lines": total, **counts, "output": str(output)})
        return
    told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    out().print(f"{total} lines: {told or 'nothing to do'}; results in {output}")
