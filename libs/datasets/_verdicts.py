"""What the judges of one answer say together. Pure; knows the policy.

One person has one voice on one answer: the last thing said counts. Who has no name is a judge each time.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from libs.datasets._names import Reason
from libs.datasets.policy import Judges, Policy, Votes
from schemas.feedback import ExampleRecorded, Judgement

LeftOut = Callable[[Reason], None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Liked or not, and the judgements that say so."""

    up: bool
    feedback: tuple[str, ...]


def passed_over(example: ExampleRecorded, policy: Policy) -> Reason | None:
    """Why nothing of this example may be used; None: it may."""
    if policy.tenants is not None and example.tenant not in policy.tenants:
        return "other-tenant"
    return "reported" if _is_reported(example, policy) else None


def _is_reported(example: ExampleRecorded, policy: Policy) -> bool:
    wanted = policy.reports.categories
    return policy.reports.exclude and any(
        judgement.kind == "report" and (wanted is None or judgement.value in wanted) for judgement in example.judgements
    )


def usable(example: ExampleRecorded, policy: Policy, left_out: LeftOut) -> list[Judgement]:
    """The judgements that training may use, reports aside."""
    kept = []
    for judgement in example.judgements:
        if judgement.kind == "report":
            continue
        if not judgement.consent:
            left_out("no-consent")
        elif judgement.subject is None and not policy.judges.anonymous:
            left_out("anonymous")
        else:
            kept.append(judgement)
    return kept


def last_of_each_judge(judgements: Iterable[Judgement], left_out: LeftOut) -> list[Judgement]:
    """One judgement a person, the last; all of those without a name."""
    ordered = sorted(judgements, key=lambda it: (it.created_at, it.feedback_id))
    last = {judgement.subject: judgement for judgement in ordered}
    kept = [it for it in ordered if it.subject is None or last[it.subject] is it]
    for _ in range(len(ordered) - len(kept)):
        left_out("same-judge")
    return kept


def vote(judgement: Judgement, votes: Votes) -> bool | None:
    """For the answer, against it, or (None) neither. Only of a thumb or a rating."""
    if isinstance(judgement.value, bool):
        return judgement.value
    ratings = votes.ratings
    assert ratings is not None
    assert isinstance(judgement.value, int)
    if judgement.value >= ratings.up_from:
        return True
    return False if judgement.value <= ratings.down_to else None


def is_vote(judgement: Judgement, votes: Votes) -> bool:
    """Whether this kind of judgement counts as a vote."""
    return votes.thumbs if judgement.kind == "thumb" else judgement.kind == "rating" and votes.ratings is not None


def verdict(judgements: Iterable[Judgement], policy: Policy, left_out: LeftOut) -> Verdict | Reason:
    """What the thumbs and ratings among them come to, or why to nothing."""
    votes = last_of_each_judge((it for it in judgements if is_vote(it, policy.votes)), left_out)
    if not votes:
        return "not-judged"
    sides = [vote(it, policy.votes) for it in votes]
    if all(side is None for side in sides):
        return "neutral"
    up = majority(sides, policy.judges)
    if isinstance(up, str):
        return up
    return Verdict(up, tuple(it.feedback_id for it, side in zip(votes, sides, strict=True) if side is up))


def majority(sides: Sequence[bool | None], judges: Judges) -> bool | Reason:
    """The side that enough of the judges take, or why there is none. A judge of neither side (None) is one too."""
    if len(sides) < judges.minimum:
        return "too-few-judges"
    # Never both: the share is above one half.
    for side in (True, False):
        if sides.count(side) >= judges.agreement * len(sides):
            return side
    return "disagreement"
