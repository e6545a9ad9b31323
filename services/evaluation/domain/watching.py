"""From a plan and what was seen to what happens next: the candidate waits, gets a larger share, or is rolled back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from libs.model_registry import Turn
from schemas.evaluation import CanaryCheck
from services.evaluation.domain.canary import Canary, Guard, Step
from services.evaluation.domain.sequential import Tally, bounds
from services.evaluation.domain.trial import Seen, Trial

_WORDS = {
    "refused": "refused or failed answers",
    "disliked": "answers that were judged badly",
    "slower": "clearly slower answers",
}


@dataclass(frozen=True)
class Decision:
    """What happens next, and why. `share`: the one to raise it to."""

    next: Literal["wait", "raise", "roll_back"]
    reason: str
    checks: tuple[CanaryCheck, ...]
    share: float | None = None


def decide(plan: Canary, turns: Sequence[Turn], trial: Trial, now: datetime) -> Decision:
    """By what was seen until now; it may be asked at any time, and again."""
    checks = tuple(check(rule, plan, [trial.at(turn.revision) for turn in turns]) for rule in plan.rules)
    if broken := [it for it in checks if it.state == "broken"]:
        return Decision("roll_back", "; ".join(_told(it) for it in broken), checks)
    share, after = turns[-1].share, plan.share_after(turns[-1].share)
    step, seen = plan.step_at(share), trial.at(turns[-1].revision)
    unshown = [it for it, rule in zip(checks, plan.rules, strict=True) if rule.shown and it.state != "held"]
    left = _left(step, seen, now - turns[-1].at)
    if not left and (after < 1 or not unshown):
        return Decision("raise", f"it held on {seen.conversations} conversations at {share:.3g}", checks, after)
    wanted = left or f"not shown yet: {', '.join(_WORDS[it.measure] for it in unshown)}"
    if now - turns[0].at > timedelta(hours=plan.patience_hours):
        return Decision("roll_back", f"{plan.patience_hours:g} hours are over; {wanted}", checks)
    return Decision("wait", wanted, checks)


def check(rule: Guard, plan: Canary, steps: Sequence[Seen]) -> CanaryCheck:
    """One rule, over all steps."""
    strata = [it.stratum(rule.measure) for it in steps]
    low, high = bounds(strata, plan.alpha)
    candidate = _sum([it.candidate for it in strata])
    others = [it.champion for it in strata if it.champion is not None]
    champion = _sum(others).rate if others else 0.5
    if not others:
        # It is a share of pairs: the difference from one half is no more than that.
        low, high = max(low, -0.5), min(high, 0.5)
    state: Literal["open", "held", "broken"] = "broken" if low > rule.by else "held" if high < rule.by else "open"
    return CanaryCheck(
        measure=rule.measure, state=state, by=rule.by, candidate=candidate.rate, champion=champion,
        low=round(low, 6), high=round(high, 6), items=candidate.of,
    )  # fmt: skip


def _sum(tallies: Sequence[Tally]) -> Tally:
    return Tally(sum(it.bad for it in tallies), sum(it.of for it in tallies))


def _left(step: Step, seen: Seen, passed: timedelta) -> str:
    """What the step still takes."""
    waits = []
    if seen.conversations < step.conversations:
        waits.append(f"{seen.conversations} of {step.conversations} conversations")
    if passed < timedelta(minutes=step.minutes):
        waits.append(f"{passed.total_seconds() / 60:.1f} of {step.minutes:g} minutes")
    return f"{' and '.join(waits)} at {step.share:.3g}" if waits else ""


def _told(it: CanaryCheck) -> str:
    rates = " against ".join(f"{rate:.1%}" for rate in (it.candidate, it.champion) if rate is not None)
    return (
        f"more {_WORDS[it.measure]}: {rates} ({it.items} items), at least {it.low:.1%} more, and {it.by:.1%} is allowed"
    )
