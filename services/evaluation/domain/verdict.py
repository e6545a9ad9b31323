"""Whether a candidate passes, rule by rule, each with its reason in words."""

import math
from dataclasses import dataclass, field

import numpy as np

from schemas.evaluation import Check
from services.evaluation.domain.bootstrap import Found, interval, resampled
from services.evaluation.domain.exam import Measured
from services.evaluation.domain.gate import Gate, Rule
from services.evaluation.domain.metrics import METRICS, Metric

Means = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Verdict:
    """What the gate says."""

    passed: bool
    reasons: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    metrics: Means = field(default_factory=dict)


def verdict(gate: Gate, measured: Measured) -> Verdict:
    """Passed: every rule is shown to hold. The same gate and measures, the same verdict."""
    if measured.refused:
        return Verdict(passed=False, reasons=(measured.refused,))
    scores = {it.metric: it for it in measured.scores if it.groups}
    found = {name: resampled(it, resamples=gate.resamples, seed=gate.seed) for name, it in scores.items()}
    checks = tuple(_check(rule, gate, found.get(rule.metric), measured) for rule in gate.rules)
    failed = tuple(_told(check) for check in checks if not check.passed)
    return Verdict(
        passed=not failed,
        reasons=failed or tuple(_told(check) for check in checks if check.must == "improve") or ("every rule holds",),
        checks=checks,
        metrics={name: _finite({"candidate": it.candidate, "champion": it.champion}) for name, it in found.items()},
    )


def _told(check: Check) -> str:
    return f"{check.metric}: {check.reason}"


def _check(rule: Rule, gate: Gate, found: Found | None, measured: Measured) -> Check:
    metric = METRICS[rule.metric]
    if found is None:
        why = measured.missing.get(rule.metric, "nothing was measured")
        told = why if rule.needed else f"passed over: {why}"
        return Check(metric=rule.metric, must=rule.must, passed=not rule.needed, reason=told)
    if rule.must == "hold":
        return _hold(rule, gate, metric, found)
    return _compare(rule, gate, metric, found)


def _compare(rule: Rule, gate: Gate, metric: Metric, found: Found) -> Check:
    gain, gains = found.gains(metric, relative=rule.relative)
    low, high = interval(gains, gate.confidence)
    wanted = rule.by if rule.must == "improve" else -rule.by
    shown = low > wanted if rule.must == "improve" else low >= wanted
    enough = metric.exact or found.groups >= gate.min_items
    unit = _unit(rule)
    way = "better" if gain >= 0 else "worse"
    said = f"{_number(abs(gain), unit)} {way} than the champion ({_share(gate)}: {_ends(low, high, unit)})"
    if not enough:
        why = f"{said}; {found.groups} independent items are too few, {gate.min_items} are wanted"
    elif shown:
        why = said
    else:
        why = f"{said}; {_want(rule, unit)}{_beyond(rule, metric, found)}"
    return Check(
        metric=rule.metric, must=rule.must, passed=bool(shown and enough), candidate=_number_or_none(found.candidate),
        champion=_number_or_none(found.champion), gain=_number_or_none(gain), low=_number_or_none(low),
        high=_number_or_none(high), items=found.items, reason=why[:1000],
    )  # fmt: skip


def _want(rule: Rule, unit: str) -> str:
    if rule.must == "improve":
        return f"that it is better by more than {_number(rule.by, unit)} is not shown"
    return f"that it is not worse by more than {_number(rule.by, unit)} is not shown"


def _beyond(rule: Rule, metric: Metric, found: Found) -> str:
    """Where no candidate at all could pass."""
    best = metric.highest if metric.better == "higher" else metric.lowest
    if rule.must != "improve" or rule.relative or best is None or abs(best - found.champion) > rule.by:
        return ""
    return f", and cannot be: the champion is at {found.champion:.4g}, and {best:g} is the best there is"


def _hold(rule: Rule, gate: Gate, metric: Metric, found: Found) -> Check:
    low, high = (found.candidate, found.candidate) if metric.exact else interval(found.candidates, gate.confidence)
    enough = metric.exact or found.groups >= gate.min_items
    above = rule.at_least is None or low >= rule.at_least
    below = rule.at_most is None or high <= rule.at_most
    said = f"{found.candidate:.4g} ({_share(gate)}: {low:.4g} to {high:.4g})"
    named = (("at least", rule.at_least), ("at most", rule.at_most))
    bounds = " and ".join(f"{word} {bound:g}" for word, bound in named if bound is not None)
    why = said if above and below else f"{said}; that it is {bounds} is not shown"
    if not enough:
        why = f"{said}; {found.groups} independent items are too few, {gate.min_items} are wanted"
    return Check(
        metric=rule.metric, must=rule.must, passed=bool(above and below and enough),
        candidate=_number_or_none(found.candidate), champion=_number_or_none(found.champion),
        low=_number_or_none(low), high=_number_or_none(high), items=found.items, reason=why,
    )  # fmt: skip


def _unit(rule: Rule) -> str:
    return "%" if rule.relative else ""


def _number(value: float, unit: str) -> str:
    return f"{value * 100:.3g} %" if unit else f"{value:.3g}"


def _ends(low: float, high: float, unit: str) -> str:
    return f"{_number(low, unit)} to {_number(high, unit)}"


def _share(gate: Gate) -> str:
    return f"{gate.confidence * 100:g} %"


def _number_or_none(value: float) -> float | None:
    """JSON has no number without end."""
    return float(value) if math.isfinite(value) else None


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if np.isfinite(value)}
