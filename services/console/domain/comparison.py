"""Two outcomes of one question beside each other: what history said, and what its shadow says."""

from collections.abc import Iterable
from difflib import SequenceMatcher
from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.responses import ResponseReady

Verdict = Literal["same", "differs", "status changed", "no original", "not asked", "open"]
VERDICTS: tuple[Verdict, ...] = ("same", "differs", "status changed", "no original", "not asked", "open")


class Side(BaseModel):
    """One outcome, as far as it is compared."""

    model_config = ConfigDict(frozen=True)

    status: str
    code: str | None
    message: str | None
    text: str | None
    sources: tuple[str, ...]
    prompt_tokens: int | None
    completion_tokens: int | None
    took_ms: float
    """Time spent in the stages; what was waited in line is left out, since batch work waits by design."""
    model: str | None
    template: str | None


class Row(BaseModel):
    """A prompt of history and its shadow. `alike`: share of words in common order, 0 to 1, where both have a text."""

    model_config = ConfigDict(frozen=True)

    place: str
    tenant: str
    prompt_id: str
    shadow_id: str | None
    verdict: Verdict
    alike: float | None = None
    says: str | None = None
    original: Side | None = None
    shadow: Side | None = None


def side_of(outcome: ResponseReady) -> Side:
    """What is compared of an outcome."""
    usage, reason = outcome.usage, outcome.reason
    return Side(
        status=outcome.status,
        code=reason.code if reason else None,
        message=reason.message if reason else None,
        text=outcome.text,
        sources=tuple(f"{s.document_id}{f' > {s.location}' if s.location else ''}" for s in outcome.sources),
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        took_ms=round(sum(outcome.timings_ms.values()), 1),
        model=outcome.model.name if outcome.model else None,
        template=outcome.template,
    )


def verdict_on(original: Side | None, shadow: Side | None) -> Verdict:
    """The two sides in a word."""
    if shadow is None:
        return "open"
    if original is None:
        return "no original"
    if (original.status, original.code) != (shadow.status, shadow.code):
        return "status changed"
    return "same" if original.text == shadow.text else "differs"


def alike(original: Side | None, shadow: Side | None) -> float | None:
    """Share of words that both texts have, in the same order."""
    if original is None or shadow is None or original.text is None or shadow.text is None:
        return None
    return round(SequenceMatcher(None, original.text.split(), shadow.text.split(), autojunk=False).ratio(), 3)


def marked(original: str, shadow: str) -> tuple[str, str]:
    """Both texts with what only one of them says in brackets: `[-taken out-]`, `{+put in+}`, as wdiff writes it."""
    left, right = original.split(), shadow.split()
    one: list[str] = []
    other: list[str] = []
    for kind, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        before, after = " ".join(left[a:b]), " ".join(right[c:d])
        one.append(before if kind == "equal" else f"[-{before}-]" if before else "")
        other.append(after if kind == "equal" else f"{{+{after}+}}" if after else "")
    return " ".join(filter(None, one)), " ".join(filter(None, other))


def counted(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows of each verdict."""
    counts: dict[str, int] = dict.fromkeys(VERDICTS, 0)
    for row in rows:
        counts[row.verdict] += 1
    return counts
