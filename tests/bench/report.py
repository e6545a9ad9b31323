"""Findings as a table for the terminal, as JSON, and as sections of the page docs/performance.md.

Each part has its own JSON file and its own section, so that one can be measured anew without the others.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from tests.bench.frame import Finding, Part, Row


@dataclass(frozen=True)
class Report:
    """One part's finding with its circumstances. `load`: the one-minute average before and after."""

    part: str
    title: str
    finding: Finding
    machine: Mapping[str, str | float]
    load: tuple[float, float]
    seconds: float
    at: str
    scale: float = 1.0

    @property
    def circumstances(self) -> str:
        """Where and when, in one line."""
        told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.machine.items())
        quick = f", at {self.scale:g} of the full counts" if self.scale != 1 else ""
        return (
            f"{self.at}, {told}, load {self.load[0]:g} before and {self.load[1]:g} after, {self.seconds:.0f} s{quick}"
        )


def heading(part: Part) -> str:
    """How a part is announced."""
    return f"({part.name}) {part.title}"


def table(report: Report) -> Table:
    """For the terminal."""
    shown = Table()
    columns = list(report.finding.rows[0])
    for column in columns:
        shown.add_column(column, justify="left" if isinstance(report.finding.rows[0][column], str) else "right")
    for row in report.finding.rows:
        shown.add_row(*(_cell(row, column) for column in columns))
    return shown


def write_json(report: Report, folder: Path) -> Path:
    """One file per part, the newest measurement."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{report.part}.json"
    goals = [{**_finite(asdict(goal)), "reached": goal.reached} for goal in report.finding.goals]
    body = asdict(report)
    body["finding"]["goals"] = goals
    file.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    return file


def _finite(goal: dict[str, object]) -> dict[str, object]:
    """Without the bound that is not set: JSON has no infinity."""
    return {name: value for name, value in goal.items() if value not in {float("inf"), float("-inf")}}


def section(report: Report) -> str:
    """The part's section in Markdown, between the marks it is found by."""
    columns = list(report.finding.rows[0])
    lines = [
        f"<!-- part {report.part} -->",
        f"## ({report.part}) {report.title}",
        "",
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(_cell(row, column) for column in columns)} |" for row in report.finding.rows),
        "",
        *(f"* {goal}" for goal in report.finding.goals),
        *(f"* {note}" for note in report.finding.notes),
        "",
        f"{report.circumstances}.",
        f"<!-- end of part {report.part} -->",
    ]
    return "\n".join(lines)


def put_into(page: str, report: Report) -> str:
    """The page with this part's section renewed, or added at its end."""
    marks = re.compile(rf"<!-- part {report.part} -->.*?<!-- end of part {report.part} -->", re.DOTALL)
    new = section(report)
    if marks.search(page):
        return marks.sub(lambda _: new, page)
    return f"{page.rstrip()}\n\n{new}\n"


def _cell(row: Row, column: str) -> str:
    value = row[column]
    if isinstance(value, str):
        return value
    if abs(value) >= 1000:
        # A thin figure group reads better than a bare number of five digits.
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
