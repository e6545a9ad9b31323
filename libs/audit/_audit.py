"""One check: records in, in any order per topic, and a report out. Knows no broker.

Cleared completions come first: the texts that rest on them are compared as they pass, so that none is kept.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime

from libs.audit._facts import fact_of
from libs.audit._ledger import Ledger
from libs.audit._nameless import Nameless
from libs.audit._order import overtaken
from libs.audit._path import COMPLETION_CLEARED, GENERATED, OUTCOME, TOPICS, kind_of, letters_of
from libs.audit._prompt import Verdict, judge
from libs.audit._report import KINDS, Finding, Kind, PromptCount, Report, TopicCount
from libs.audit._span import Extent, Scope, Span
from libs.audit._texts import answer_agrees, cleared_text, generated_agrees
from libs.bus import Record
from schemas.prompts import PromptCancelled

FIRST_READ = COMPLETION_CLEARED
_CANCELLED = PromptCancelled.TYPE
_EVERY = 1000
_COUNTED = tuple(field.name for field in fields(TopicCount))


class Audit:
    """Takes records, settles, reports. `keep` findings of each kind are held, all are counted."""

    def __init__(self, span: Span, scope: Scope, *, keep: int = 100) -> None:
        self._span, self._scope, self._keep = span, scope, keep
        self._ledger = Ledger()
        self._topics: dict[str, TopicCount] = {}
        self._prompts = PromptCount()
        self._counts: Counter[Kind] = Counter()
        self._findings: list[Finding] = []
        self._waiting_for: Counter[str] = Counter()
        self._oldest_ms: int | None = None
        self._lost = 0

    @property
    def seems_lost(self) -> int:
        """Prompts for which no outcome was read, once settled."""
        return self._lost

    @property
    def taken(self) -> int:
        """Records that belong to a prompt."""
        return self._ledger.size

    def take(self, record: Record) -> None:
        """One record of the range. All of `FIRST_READ` before the others."""
        fact, body = fact_of(record)
        kind = fact.kind
        if not fact.prompt_id:
            if self._scope.tenant is None:
                self._ledger.add_nameless(fact)
        elif _CANCELLED in (kind, kind_of(letters_of(record.topic) or "")):
            self._topic(record.topic).records += 1
        elif kind == COMPLETION_CLEARED:
            self._ledger.add_cleared(fact, cleared_text(body))
            self._ledger.add(fact)
        elif kind == GENERATED:
            self._ledger.compare(fact.place, lambda cleared: generated_agrees(cleared, body))
            self._ledger.add(fact)
        elif kind == OUTCOME and fact.status == "answered":
            cleared = self._ledger.cleared_at(fact.cause)
            self._ledger.add(fact.but(agrees=None if cleared is None else answer_agrees(cleared, body)))
        else:
            self._ledger.add(fact)

    def settle(self) -> Iterator[int]:
        """Judges everything; yields now and then how many records are done."""
        done = 0
        for number, facts in enumerate(self._ledger.by_prompt()):
            done += len(facts)
            if (verdict := judge(facts, self._span, self._scope)) is not None:
                self._note(verdict)
            if number % _EVERY == 0:
                yield done
        self._found(Nameless(self._span, self._scope, self._topics).judge(self._ledger.nameless()))
        self._found(overtaken(self._ledger.turns()))

    def forgive(self, record: Record) -> None:
        """An outcome that lies before the range: its prompt is not lost, it came again."""
        fact, _ = fact_of(record)
        if self._ledger.drop_lost(fact.tenant, fact.prompt_id):
            self._lost -= 1
            self._prompts.judged -= 1
            self._prompts.outside += 1

    def report(self) -> Report:
        """The verdict, once. The facts are gone then."""
        self._found(self._ledger.lost())
        self._ledger.close()
        oldest = None if self._oldest_ms is None else datetime.fromtimestamp(self._oldest_ms / 1000, UTC)
        return Report(
            since=self._scope.since,
            until=self._scope.until,
            tenant=self._scope.tenant,
            checked_at=self._span.moment,
            prompts=self._prompts,
            topics={name: self._topics[name] for name in TOPICS if name in self._topics},
            counts={kind: self._counts[kind] for kind in KINDS},
            findings=tuple(sorted(self._findings, key=lambda found: KINDS.index(found.kind))),
            waiting_for=dict(self._waiting_for),
            oldest_in_flight=oldest,
            by_commits=self._span.handled is not None,
        )

    def close(self) -> None:
        """Where no report is wanted any more."""
        self._ledger.close()

    def _note(self, verdict: Verdict) -> None:
        prompts = self._prompts
        prompts.judged += verdict.judged
        prompts.outside += verdict.outside
        prompts.asked_again += verdict.asked_again
        prompts.repeated += verdict.repeated
        prompts.paid_twice += verdict.paid_twice
        prompts.answered += verdict.status == "answered"
        prompts.refused += verdict.status == "refused"
        prompts.failed += verdict.status == "failed"
        if verdict.waits_for is not None:
            self._note_in_flight(verdict)
        if verdict.lost is not None:
            self._lost += 1
            self._ledger.add_lost(verdict.lost)
        if verdict.turn is not None:
            self._ledger.add_turn(verdict.turn)
        for name, count in verdict.topics.items():
            _add(self._topic(name), count)
        self._found(verdict.findings)

    def _note_in_flight(self, verdict: Verdict) -> None:
        self._prompts.in_flight += 1
        self._prompts.overdue += verdict.overdue
        self._waiting_for[verdict.waits_for or ""] += 1
        self._oldest_ms = min(self._oldest_ms or verdict.submitted_ms, verdict.submitted_ms)

    def _found(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._counts[finding.kind] += 1
            if self._counts[finding.kind] <= self._keep:
                self._findings.append(finding)

    def _topic(self, name: str) -> TopicCount:
        return self._topics.setdefault(name, TopicCount())


def check_records(records: Iterable[Record], span: Span | None = None, scope: Scope | None = None) -> Report:
    """The verdict on records held in memory. Without a span they are the whole log, and every reader is done."""
    held = list(records)
    audit = Audit(span or whole(held), scope or Scope())
    for record in sorted(held, key=lambda record: kind_of(record.topic) != FIRST_READ):
        audit.take(record)
    for _ in audit.settle():
        pass
    return audit.report()


def whole(records: Iterable[Record]) -> Span:
    """The span of a log of which these are all records, with nothing left to do."""
    held = list(records)
    partitions = {record.partition for record in held}
    extents = {(name, partition): Extent(0, 0) for name in TOPICS for partition in partitions}
    for record in held:
        extent = extents.setdefault((record.topic, record.partition), Extent(0, 0))
        extent.end = max(extent.end, record.offset + 1)
    return Span(extents, {place: extent.end for place, extent in extents.items()})


def _add(sum_: TopicCount, more: TopicCount) -> None:
    for name in _COUNTED:
        setattr(sum_, name, getattr(sum_, name) + getattr(more, name))
