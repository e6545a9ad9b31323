"""`python -m tests.bench [PART...]`: what Tailrace costs, each part beside its floor or peers in one run.

Without names: all parts. Prints tables, writes one JSON file per part into `--out`; `--page` renews the parts' sections
of docs/performance.md.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from rich.console import Console

from libs.service import spare_the_heap
from libs.telemetry import configure_logs
from tests.bench import machine, report
from tests.bench.frame import Bench, Part
from tests.bench.registry import MODULES, parts

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"


async def measure(part: Part, scale: float, console: Console) -> report.Report:
    """Runs one part in a folder of its own."""
    before, began, at = machine.load(), time.monotonic(), datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="tailrace-bench-") as folder:
        finding = await part.run(Bench(Path(folder), scale, lambda text: console.print(f"  {text}", style="dim")))
    spent = time.monotonic() - began
    loads = (before, machine.load())
    return report.Report(
        part.name, part.title, finding, machine.facts(), loads, round(spent, 1), f"{at:%Y-%m-%d %H:%M} UTC", scale
    )


async def run(chosen: Sequence[Part], scale: float, out: Path, page: Path | None) -> bool:
    """Measures part after part; whether every goal was reached."""
    # As in a service; the peers have the same, so that the size of the benchmark's own heap is no matter.
    spare_the_heap()
    console, reached = Console(width=None if sys.stdout.isatty() else 120), True
    configure_logs("bench", 0, "warning")
    for part in chosen:
        console.print(f"[bold]{report.heading(part)}[/]")
        found = await measure(part, scale, console)
        console.print(report.table(found), f"[dim]{found.circumstances}[/]", sep="\n")
        for goal in found.finding.goals:
            console.print(str(goal), style="green" if goal.reached else "red")
            reached &= goal.reached
        console.print(f"written to {report.write_json(found, out)}\n", style="dim")
        if page is not None:
            page.write_text(report.put_into(page.read_text(encoding="utf-8"), found), encoding="utf-8")
    return reached


def main() -> int:
    """The exit code: 0, or with `--strict` 1 where a goal was not reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {' '.join(MODULES)}; none: all")
    parser.add_argument("--scale", type=float, default=1.0, help="0.1: a tenth of the counts, for a quick look")
    parser.add_argument("--out", type=Path, default=ROOT / ".tailrace" / "bench", help="folder of the JSON files")
    parser.add_argument("--page", action="store_true", help="renew the parts' sections of docs/performance.md")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a goal is not reached")
    arguments = parser.parse_args()
    try:
        chosen = parts(arguments.parts)
    except KeyError as error:
        parser.error(str(error.args[0]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        reached = runner.run(run(chosen, arguments.scale, arguments.out, PAGE if arguments.page else None))
    return 1 if arguments.strict and not reached else 0


if __name__ == "__main__":
    raise SystemExit(main())
