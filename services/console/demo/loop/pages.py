"""The loop as people read it: one panel a station."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from services.console.demo.loop.report import Answer, Candidate, Loop
from services.console.demo.panels import line, panel


def pages(loop: Loop) -> Iterator[RenderableType]:
    """From feedback to what serves, and back."""
    judged = loop.judged
    yield panel(
        "Feedback becomes a data set",
        line("what people want", f"answers that begin with “{judged.wish}”"),
        line("edits", f"{judged.answers}, each with consent, in {judged.seconds} s"),
        line("data set", f"{judged.dataset[:12]}: {_rows(judged.rows)}"),
    )
    yield panel("A model is trained on it, and examined", *_candidate(loop.candidate))
    if loop.candidate.passed:
        after = line("first answer by it", f"{loop.promotion_seconds} s after the promotion")
        yield panel("It serves: the same questions, before and after", after, _side_by_side(loop.before, loop.after))
    yield panel("The same judgements, turned round, to sabotage it", *_candidate(loop.sabotaged))
    yield panel("What serves", *_served(loop))
    yield Text(f"The loop took {loop.seconds} s.")


def _served(loop: Loop) -> Iterator[RenderableType]:
    yield line("after the sabotage", loop.still_serves or "the bare base")
    if loop.rolled_back is not None:
        told = f"{loop.rolled_back}, the next answer without it after {loop.rollback_seconds} s"
        yield line("rolled back", told)
        yield line("answers as before it", f"{_same(loop.before, loop.after_rollback)} of {len(loop.before)}")


def _rows(rows: dict[str, dict[str, int]]) -> str:
    return "; ".join(
        f"{kind} " + ", ".join(f"{count} {split}" for split, count in splits.items() if count)
        for kind, splits in rows.items()
    )


def _candidate(found: Candidate) -> Iterator[RenderableType]:
    yield line("adapter", f"{found.model}: {found.rows} rows, {found.steps} steps, {found.train_seconds} s")
    verdict = ("passed", "green") if found.passed else ("stopped by the gate", "red")
    yield Text.assemble(("verdict: ", "bold"), verdict, f", examined in {found.exam_seconds} s")
    table = Table("", "metric", "champion", "candidate", "", box=None, header_style="dim")
    for it in found.checks:
        numbers = ("-" if value is None else f"{value:.4g}" for value in (it.champion, it.candidate))
        table.add_row("[green]holds[/]" if it.passed else "[red]fails[/]", it.metric, *numbers, escape(it.reason))
    yield table if found.checks else Text("; ".join(found.reasons))


def _side_by_side(before: Sequence[Answer], after: Sequence[Answer]) -> Table:
    table = Table("question", "before", "after", box=None, header_style="dim", show_lines=False)
    for one, other in zip(before, after, strict=True):
        table.add_row(*(escape(" ".join(text.split())) for text in (one.question, one.text, other.text)))
    return table


def _same(one: Sequence[Answer], other: Sequence[Answer]) -> int:
    return sum(a.text == b.text for a, b in zip(one, other, strict=True))
