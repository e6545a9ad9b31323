"""Records that name no prompt: each that was handled must have its dead letter, each dead letter its record."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from libs.audit._chains import finding, letter_problem
from libs.audit._facts import Fact
from libs.audit._path import READERS
from libs.audit._report import Finding, TopicCount
from libs.audit._span import Scope, Span
from schemas.topics import dead_letter_topic


@dataclass(slots=True)
class Nameless:
    """Judges them one place after the other, and counts."""

    span: Span
    scope: Scope
    topics: dict[str, TopicCount]

    def judge(self, facts: Iterable[Fact]) -> Iterator[Finding]:
        """`facts` come sorted by the place they are about: a record's own, a dead letter's origin."""
        for _, about in groupby(facts, key=lambda fact: fact.cause if fact.kind is None else fact.place):
            yield from self._judge(list(about))

    def _judge(self, about: list[Fact]) -> Iterator[Finding]:
        letters = [fact for fact in about if fact.kind is None]
        for letter in letters:
            self._count(letter).records += 1
            if (wrong := letter_problem(letter, self.span)) is not None:
                yield finding("unaccounted", letter, wrong)
        for record in about:
            if record.kind is not None:
                yield from self._accounted(record, dead_lettered=bool(letters))

    def _accounted(self, record: Fact, *, dead_lettered: bool) -> Iterator[Finding]:
        count = self._count(record)
        count.records += 1
        if dead_lettered:
            count.dead_lettered += 1
        elif self.span.waits(record.place, record.timestamp):
            count.waiting += 1
        elif self.scope.holds(record.timestamp) and not self._cut(record):
            reader = READERS[record.place.topic]
            yield finding("unaccounted", record, f"the record is unreadable; {reader} is done with it, without a trace")

    def _cut(self, record: Fact) -> bool:
        return self.span.cut_anywhere(dead_letter_topic(record.place.topic), record.timestamp)

    def _count(self, fact: Fact) -> TopicCount:
        return self.topics.setdefault(fact.place.topic, TopicCount())
