"""The verdict as a page for people."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.evaluation import Check, ModelEvaluated

_LONGEST = 600


@dataclass(frozen=True)
class Sample:
    """What both models wrote to one prompt."""

    exam: str
    prompt: str
    candidate: str
    champion: str
    reference: str | None = None


def as_markdown(said: ModelEvaluated, samples: Sequence[Sample]) -> str:
    """`report.md`: verdict, reasons, rules, all measures, some answers."""
    champion = f"`{said.champion}`" if said.champion else f"the bare base (`{said.base}`)"
    reasons = "".join(f"* {_plain(reason)}\n" for reason in said.reasons)
    return (
        f"# {said.model} {'passed' if said.passed else 'did not pass'}\n\n"
        f"Compared with {champion} by the gate `{said.gate}`"
        f"{f', on held-out rows of the data set `{said.dataset}`' if said.dataset else ''}, "
        f"{said.evaluated_at:%Y-%m-%dT%H:%M:%SZ}, {said.seconds:.0f} s.\n\n{reasons}"
        f"{_rules(said.checks)}{_measures(said)}{_answers(samples)}"
    )


def _rules(checks: Sequence[Check]) -> str:
    if not checks:
        return ""
    lines = "".join(
        f"| {'yes' if it.passed else '**no**'} | {it.metric} | {it.must.replace('_', ' ')} | {_number(it.candidate)} | "
        f"{_number(it.champion)} | {it.items} | {_plain(it.reason)} |\n"
        for it in checks
    )
    head = "| holds | metric | must | candidate | champion | items | |\n|---|---|---|---|---|---|---|\n"
    return f"\n## Rules\n\n{head}{lines}"


def _measures(said: ModelEvaluated) -> str:
    asked = {check.metric for check in said.checks}
    left = {name: both for name, both in said.metrics.items() if name not in asked}
    lines = "".join(
        f"| {name} | {_number(both.get('candidate'))} | {_number(both.get('champion'))} |\n"
        for name, both in sorted(left.items())
    )
    return (
        f"\n## Measured beside the rules\n\n| metric | candidate | champion |\n|---|---|---|\n{lines}" if left else ""
    )


def _answers(samples: Sequence[Sample]) -> str:
    if not samples:
        return ""
    told = "".join(
        f"\n**{it.exam}**: {_short(it.prompt)}\n\n"
        f"* candidate: {_short(it.candidate)}\n* champion: {_short(it.champion)}\n"
        + (f"* reference: {_short(it.reference)}\n" if it.reference else "")
        for it in samples
    )
    return f"\n## Some answers\n{told}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _short(text: str) -> str:
    """On one line, with nothing that a page would take for its own."""
    told = _plain(text)
    return told if len(told) <= _LONGEST else f"{told[:_LONGEST]}…"


def _plain(text: str) -> str:
    told = " ".join(text.split())
    for sign in "\\`*_|<>[]#":
        told = told.replace(sign, f"\\{sign}")
    return told
