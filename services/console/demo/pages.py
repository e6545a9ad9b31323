"""The report as people read it."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from services.console.demo.loop import pages as loop_pages
from services.console.demo.panels import line, panel
from services.console.demo.report import Asked, Flood, Malformed, Memory, Private, Report
from services.console.domain.sources import source_lines

_STAGES = ("ingestion", "grounding", "safety", "inference", "post_processing")


def pages(report: Report) -> Iterator[RenderableType]:
    """One panel a station."""
    indexed = report.indexed
    yield panel(
        "Knowledge base",
        f"{indexed.documents} documents of this project, {indexed.passages} passages, indexed in {indexed.seconds} s",
        *(Text(f"refused {name}: {reason}", style="yellow") for name, reason in indexed.refused.items()),
    )
    for asked in report.questions:
        yield panel(f"{asked.via}: {asked.question}", *_answer(asked))
    yield panel("Personal data", *_private(report.private))
    yield panel("An injection attempt", line("sent", report.injection.question), *_answer(report.injection))
    yield panel("A malformed message", *_malformed(report.malformed))
    yield panel("A batch, and people beside it", *_flood(report.flood))
    yield panel("Time per stage, in ms", _stages((*report.questions, report.private.asked)))
    yield panel(f"The way of one prompt: {report.way.prompt_id}", _way(report))
    yield panel("Memory", _memory(report.memory))
    if report.loop is not None:
        yield from loop_pages.pages(report.loop)
    yield Text(f"Started in {report.start_seconds} s, the whole tour took {report.seconds} s.")


def _answer(asked: Asked) -> Iterator[RenderableType]:
    if asked.text is not None:
        yield Text(asked.text)
    if asked.reason:
        yield Text.assemble((asked.status, "yellow"), f" because {asked.reason}")
    if asked.sources:
        yield Padding(Text("\n".join(source_lines(asked.sources)), style="cyan"), (1, 0, 0, 0))
    first = f"first text after {asked.first_text_ms:.0f} ms, " if asked.first_text_ms is not None else ""
    yield Padding(Text(f"{first}{asked.status} after {asked.answer_ms:.0f} ms", style="dim"), (1, 0, 0, 0))


def _private(page: Private) -> Iterator[RenderableType]:
    masked = ", ".join(f"{count} {entity}" for entity, count in page.asked.masked.items()) or "nothing"
    yield line("sent", page.asked.question)
    yield line("the model saw", page.seen_by_the_model)
    yield line("masked", masked)
    yield line("the user got", page.asked.text or "-")
    restored = (
        "the user's own values are back in the answer" if page.restored else "the answer did not repeat the values"
    )
    yield line("restored", restored)
    yield line("records past the gate with a value in clear", str(page.values_past_the_gate))


def _malformed(page: Malformed) -> Iterator[RenderableType]:
    yield line("sent", page.sent)
    yield line("the upstream got", f"{page.asked.status}: {page.asked.reason} after {page.asked.answer_ms:.0f} ms")
    yield line("the operator got", f"{page.letter.address} from {page.letter.origin}: {page.letter.reason}")


def _flood(page: Flood) -> Iterator[RenderableType]:
    counts = ", ".join(f"{count} {status}" for status, count in sorted(page.counts.items()))
    yield Text(f"{page.lines} lines in {page.seconds} s: {counts}")
    table = Table("real-time question", "first text", "answer", box=None, header_style="dim")
    for when, asked in [("before the batch", page.before), *(("beside the batch", it) for it in page.beside)]:
        first = f"{asked.first_text_ms:.0f} ms" if asked.first_text_ms is not None else "-"
        table.add_row(f"{when}: {escape(asked.question)}", first, f"{asked.answer_ms:.0f} ms")
    yield table


def _stages(answered: Sequence[Asked]) -> Table:
    table = Table("question", box=None, header_style="dim")
    for name in (*_STAGES, "all"):
        table.add_column(name, justify="right")
    for asked in answered:
        times = [asked.timings_ms.get(stage) for stage in _STAGES]
        shown = ["-" if ms is None else f"{ms:.1f}" for ms in times]
        table.add_row(escape(asked.question[:60]), *shown, f"{asked.answer_ms:.0f}")
    return table


def _way(report: Report) -> Table:
    table = Table("ms", "event", "written by", "address", "waited", box=None, header_style="dim")
    for hop in report.way.hops:
        waited = "" if hop.waited_ms is None else f"{hop.waited_ms:.1f}"
        table.add_row(f"{hop.since_submitted_ms:.1f}", hop.event, hop.service or "upstream", hop.address, waited)
    return table


def _memory(page: Memory) -> Table:
    table = Table("", box=None, header_style="dim")
    for name in ("idle", "after the tour"):
        table.add_column(name, justify="right")
    for name, size in page.idle.items():
        table.add_row(name, f"{size / 1e6:,.0f} MB", f"{page.busy.get(name, 0) / 1e6:,.0f} MB")
    return table
