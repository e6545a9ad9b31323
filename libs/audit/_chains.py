"""What each event rests on: an answer on a clearance by safety of its own, every event on a record of its prompt.

Pure: a prompt's history in, findings out. What lies outside of what was read is never held against anybody.
"""

from collections.abc import Iterator

from libs.audit._facts import Fact
from libs.audit._history import History
from libs.audit._path import (
    CLEARED,
    COMPLETION_CLEARED,
    FAILED,
    GENERATED,
    MAY_REST_ON,
    OUTCOME,
    OUTCOME_MAY_REST_ON,
    REFUSED,
    SUBMITTED,
    kind_of,
    lane_of,
    letters_of,
)
from libs.audit._report import Finding, Kind
from libs.audit._span import Span

SAFETY = "safety"
_LINKS = ((OUTCOME, COMPLETION_CLEARED), (COMPLETION_CLEARED, GENERATED), (GENERATED, CLEARED))
_ANYTHING = frozenset({REFUSED, FAILED})


def broken_chains(history: History, span: Span) -> Iterator[Finding]:
    """Answers without a clearance of their own; then events that rest on nothing."""
    told: set[bytes] = set()
    for answer in _distinct(fact for fact in history.outcomes if fact.status == "answered"):
        if (found := _clearance(answer, history, span, told)) is not None:
            yield found
    for event in _distinct(history.events):
        if event.id not in told and (wrong := _support(event, history, span)) is not None:
            yield finding("orphaned", event, wrong)


def other_texts(history: History) -> Iterator[Finding]:
    """Answers that do not say what was cleared, and clearances that do not say what was generated."""
    for answer in _distinct(fact for fact in history.outcomes if fact.agrees is False):
        yield finding("altered", answer, f"the answer does not say what {answer.cause} cleared")
    for cleared in _distinct(fact for fact in history.of(COMPLETION_CLEARED) if fact.agrees is False):
        if history.at(cleared.cause) is not None:
            yield finding("altered", cleared, f"the cleared text is not the one generated at {cleared.cause}")


def wrong_letters(history: History, span: Span) -> Iterator[Finding]:
    """Dead letters that name no record of this prompt."""
    for letter in history.letters:
        if (wrong := letter_problem(letter, span)) is not None:
            yield finding("unaccounted", letter, wrong)
        elif letter.cause is not None and span.where(letter.cause) == "inside" and history.at(letter.cause) is None:
            yield finding("unaccounted", letter, f"the dead letter names {letter.cause}, a record of another prompt")


def letter_problem(letter: Fact, span: Span) -> str | None:
    """Why a dead letter's origin cannot be."""
    if letter.cause is None:
        return "the dead letter does not name the record it was"
    if letter.cause.topic != letters_of(letter.place.topic):
        return f"the dead letter names {letter.cause}, which is not of its topic"
    if span.where(letter.cause) == "beyond":
        return f"the dead letter names {letter.cause}, which was never written"
    return None


def finding(kind: Kind, fact: Fact, says: str) -> Finding:
    """A finding at that record."""
    return Finding(kind, fact.tenant, fact.prompt_id, fact.place, says)


def _distinct(facts: Iterator[Fact] | list[Fact]) -> Iterator[Fact]:
    """A copy on the wire says nothing new."""
    seen: set[tuple[str, bytes, bytes]] = set()
    for fact in facts:
        if (known := (fact.place.topic, fact.id, fact.decision)) not in seen:
            seen.add(known)
            yield fact


def _clearance(answer: Fact, history: History, span: Span, told: set[bytes]) -> Finding | None:
    current = answer
    for _, wanted in _LINKS:
        if current.cause is None or kind_of(current.cause.topic) != wanted or not _same_lane(current):
            wrong = f"{_named(current)} rests on {current.cause or 'nothing'}, which is no {wanted} of its lane"
        elif (below := history.at(current.cause)) is None:
            where = span.where(current.cause)
            if where in ("before", "unread"):
                return None
            wrong = f"{_named(current)} rests on {current.cause}, {_missing(where)}"
        elif wanted != GENERATED and below.source != SAFETY:
            wrong = f"{below.place}, on which the answer rests, was written by {below.source or 'nobody'}, not safety"
        else:
            current = below
            continue
        told.update((answer.id, current.id))
        return finding("uncleared", answer, wrong)
    return None


def _support(event: Fact, history: History, span: Span) -> str | None:
    kind = event.kind
    if kind is None or kind == SUBMITTED or (kind == OUTCOME and event.status == "answered"):
        return None
    if event.cause is None:
        return "the event names no record that led to it"
    allowed = OUTCOME_MAY_REST_ON.get(event.status, frozenset()) if kind == OUTCOME else MAY_REST_ON.get(kind)
    if kind not in _ANYTHING and (kind_of(event.cause.topic) not in (allowed or ()) or not _same_lane(event)):
        return f"the event rests on {event.cause}, which cannot lead to it"
    where = span.where(event.cause)
    if where in ("before", "unread") or history.at(event.cause) is not None:
        return None
    return f"the event rests on {event.cause}, {_missing(where)}"


def _missing(where: str) -> str:
    return "which was never written" if where == "beyond" else "a record of another prompt"


def _named(fact: Fact) -> str:
    return "the answer" if fact.kind == OUTCOME else str(fact.place)


def _same_lane(fact: Fact) -> bool:
    return fact.cause is not None and lane_of(fact.cause.topic) == lane_of(fact.place.topic)
