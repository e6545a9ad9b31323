"""The verdict on one prompt: exactly one outcome, resting on what it must rest on; counts, and its turn in order.

Pure: a prompt's facts in, a verdict out.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from libs.audit._chains import broken_chains, finding, other_texts, wrong_letters
from libs.audit._facts import Fact, Place
from libs.audit._history import History
from libs.audit._order import Turn, turn_of
from libs.audit._path import OUTCOME, READERS, lane_of
from libs.audit._report import Finding, TopicCount
from libs.audit._span import Scope, Span, millis
from schemas.base import Lane


@dataclass(slots=True)
class Verdict:
    """What is to be said of one prompt."""

    judged: bool = False
    outside: bool = False
    status: str | None = None
    """Of its first outcome."""
    waits_for: str | None = None
    submitted_ms: int = 0
    overdue: bool = False
    lost: Finding | None = None
    """To be dropped if the outcome is found to lie before what was read."""
    findings: list[Finding] = field(default_factory=list)
    asked_again: int = 0
    repeated: int = 0
    paid_twice: int = 0
    topics: dict[str, TopicCount] = field(default_factory=dict)
    turn: Turn | None = None


def judge(facts: Sequence[Fact], span: Span, scope: Scope) -> Verdict | None:
    """The verdict on the prompt whose facts these are; None: it was not asked about."""
    history, verdict = History(facts), Verdict()
    if scope.tenant not in (None, history.tenant):
        return None
    if history.submissions:
        verdict.submitted_ms = history.submissions[0].timestamp
        if not scope.holds(verdict.submitted_ms):
            return None
        verdict.judged = True
        _ending(history, span, verdict)
    elif any(scope.reaches(fact.timestamp) for fact in facts):
        verdict.outside = True
    else:
        return None
    _outcomes(history, span, verdict)
    verdict.findings += [*broken_chains(history, span), *other_texts(history), *wrong_letters(history, span)]
    verdict.repeated = max(0, len(history.submissions) - 1)
    verdict.paid_twice = history.paid_twice()
    verdict.topics = _topics(history, span)
    verdict.turn = turn_of(history) if verdict.judged else None
    return verdict


def _ending(history: History, span: Span, verdict: Verdict) -> None:
    """Answered, refused or failed; still in flight; or lost."""
    if history.outcomes:
        verdict.status = history.outcomes[0].status
        return
    if waiting := [fact for fact in history.events if span.waits(fact.place, fact.timestamp)]:
        verdict.waits_for = READERS[waiting[-1].place.topic]
        verdict.overdue = verdict.submitted_ms < millis(span.moment - span.grace)
        return
    last = history.events[-1]
    outcome_topic = OUTCOME if lane_of(last.place.topic) != Lane.BATCH.value else f"{OUTCOME}-batch"
    if span.cut_before(outcome_topic, last.place.partition, last.timestamp):
        verdict.judged, verdict.outside = False, True
        return
    verdict.lost = finding("lost", history.submissions[0], _how_it_was_lost(history, last))


def _how_it_was_lost(history: History, last: Fact) -> str:
    letters = f"; its dead letter is {history.letters[-1].place}" if history.letters else ""
    return f"the prompt has no outcome; {READERS[last.place.topic]} is done with {last.place}, its last event{letters}"


def _outcomes(history: History, span: Span, verdict: Verdict) -> None:
    """More than one is damage, unless the id was forgotten in between or names two prompts."""
    if not history.outcomes:
        return
    by_id: dict[bytes, list[Fact]] = defaultdict(list)
    for outcome in history.outcomes:
        by_id[outcome.id].append(outcome)
    for same in by_id.values():
        if (differing := next((f for f in same if f.decision != same[0].decision), None)) is not None:
            says = f"the outcome at {same[0].place} came again under its id, saying something else"
            verdict.findings.append(finding("doubled", differing, says))
    first, *others = [same[0] for same in by_id.values()]
    for other in others:
        if _asked_again(first, other, history, span):
            verdict.asked_again += 1
        else:
            says = f"the prompt has a second outcome ({other.status}); the first ({first.status}) is at {first.place}"
            verdict.findings.append(finding("doubled", other, says))


def _asked_again(first: Fact, other: Fact, history: History, span: Span) -> bool:
    one, two = history.root(first), history.root(other)
    if one is not None and one is two:
        return False
    forgotten = other.timestamp - first.timestamp > span.known_for.total_seconds() * 1000
    return forgotten or (one is not None and two is not None and one.key != two.key)


def _topics(history: History, span: Span) -> dict[str, TopicCount]:
    counts: dict[str, TopicCount] = defaultdict(TopicCount)
    causes = {fact.cause for fact in history.events}
    letters = {fact.cause for fact in history.letters}
    for fact in history.facts:
        count = counts[fact.place.topic]
        count.records += 1
        if fact.kind is not None and fact.kind != OUTCOME:
            _became(fact, count, causes, letters, span)
    for topic, same in _same_ids(history.facts):
        _repetitions(same, counts[topic])
    return counts


def _became(fact: Fact, count: TopicCount, causes: set[Place | None], letters: set[Place | None], span: Span) -> None:
    if fact.place in letters:
        count.dead_lettered += 1
    elif fact.place in causes:
        count.led_on += 1
    elif span.waits(fact.place, fact.timestamp):
        count.waiting += 1
    else:
        count.silent += 1


def _same_ids(facts: Iterable[Fact]) -> Iterable[tuple[str, list[Fact]]]:
    by_id: dict[tuple[str, bytes], list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.kind is not None:
            by_id[fact.place.topic, fact.id].append(fact)
    return ((topic, same) for (topic, _), same in by_id.items() if len(same) > 1)


def _repetitions(same: list[Fact], count: TopicCount) -> None:
    bodies, decisions = {same[0].body}, {same[0].decision}
    for fact in same[1:]:
        if fact.body in bodies:
            count.copies += 1
        elif fact.decision in decisions:
            count.redone += 1
        else:
            count.redone_otherwise += 1
        bodies.add(fact.body)
        decisions.add(fact.decision)
