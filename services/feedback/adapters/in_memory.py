"""The store in memory: the same facts, the same answers, gone with the process."""

import threading
from collections.abc import Sequence
from datetime import datetime

from services.feedback.domain.cases import IN_DOUBT, Case
from services.feedback.domain.facts import (
    AnswerSeen,
    CaseKey,
    Erased,
    Fact,
    OutcomeSeen,
    PromptSeen,
    Said,
    Withdrawn,
)
from services.feedback.domain.judging import Rules
from services.feedback.domain.merging import (
    as_it_stands,
    falls_under,
    later_erasure,
    later_outcome,
    later_said,
    smaller,
)
from services.feedback.ports import Change, Settled

_SaidKey = tuple[CaseKey, str]


class InMemoryStore:
    """`Store` as dictionaries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prompts: dict[tuple[CaseKey, str], PromptSeen] = {}
        self._answers: dict[tuple[CaseKey, str], AnswerSeen] = {}
        self._outcomes: dict[CaseKey, OutcomeSeen] = {}
        self._noted: dict[CaseKey, datetime] = {}
        self._said: dict[_SaidKey, Said] = {}
        self._withdrawn: dict[tuple[str, str], datetime] = {}
        self._erased: dict[tuple[str, str], datetime] = {}
        self._changed: dict[CaseKey, int] = {}
        self._published: dict[CaseKey, str] = {}

    def open(self) -> None:
        return None

    def note(self, facts: Sequence[Fact], now: datetime) -> None:
        with self._lock:
            for fact in facts:
                self._note(fact, now)

    def _note(self, fact: Fact, now: datetime) -> None:
        match fact:
            case Said():
                self._note_said(fact)
            case Withdrawn():
                self._withdrawn.setdefault((fact.tenant, fact.feedback_id), now)
                self._empty([k for k in self._said if (k[0].tenant, k[1]) == (fact.tenant, fact.feedback_id)])
            case Erased():
                self._note_erased(fact)
            case _:
                self._note_piece(fact)
                self._noted.setdefault(fact.case, now)
                if self._is_judged(fact.case):
                    self._mark(fact.case)

    def _note_piece(self, fact: PromptSeen | AnswerSeen | OutcomeSeen) -> None:
        match fact:
            case PromptSeen():
                place = fact.case, fact.place
                self._prompts[place] = smaller(self._prompts.get(place), fact)
            case AnswerSeen():
                self._answers.setdefault((fact.case, fact.place), fact)
            case OutcomeSeen():
                self._outcomes[fact.case] = later_outcome(self._outcomes.get(fact.case), fact)

    def _note_said(self, new: Said) -> None:
        key = new.case, new.feedback_id
        old = self._said.get(key)
        latest = later_said(old, new)
        if latest is old:
            return
        self._said[key] = as_it_stands(
            latest,
            withdrawn=(new.case.tenant, new.feedback_id) in self._withdrawn,
            erased_at=self._erased.get((new.case.tenant, new.subject_key or "")),
        )
        self._mark_with_others(new)
        if old is not None:
            self._mark_with_others(old)

    def _note_erased(self, fact: Erased) -> None:
        key = fact.tenant, fact.subject_key
        at = self._erased[key] = later_erasure(self._erased.get(key), fact)
        self._empty(
            [
                key
                for key, said in self._said.items()
                if (said.case.tenant, said.subject_key) == (fact.tenant, fact.subject_key) and falls_under(said, at)
            ]
        )

    def _empty(self, keys: Sequence[_SaidKey]) -> None:
        for key in keys:
            if self._said[key].origin is not None:
                self._said[key] = self._said[key].emptied()
                self._mark_with_others(self._said[key])

    def _mark_with_others(self, said: Said) -> None:
        self._mark(said.case)
        if said.other is not None:
            self._mark(CaseKey(said.case.tenant, said.other))

    def _mark(self, key: CaseKey) -> None:
        # Taken out first: the longest marked come first.
        self._changed[key] = self._changed.pop(key, 0) + 1

    def _is_judged(self, key: CaseKey) -> bool:
        return any(case == key for case, _ in self._said) or self._is_named(key)

    def _is_named(self, key: CaseKey) -> bool:
        return any((s.case.tenant, s.other) == key for s in self._said.values())

    def changed(self, limit: int) -> Sequence[Change]:
        with self._lock:
            return [Change(key, version) for key, version in list(self._changed.items())[:limit]]

    def cases(self, keys: Sequence[CaseKey], judgements: int) -> Sequence[Case]:
        with self._lock:
            return [self._case(key, judgements) for key in keys]

    def _case(self, key: CaseKey, judgements: int) -> Case:
        said = sorted((s for (case, _), s in self._said.items() if case == key), key=lambda s: s.feedback_id)
        return Case(
            key,
            {place: prompt for (case, place), prompt in self._prompts.items() if case == key},
            {place: answer for (case, place), answer in self._answers.items() if case == key},
            self._outcomes.get(key),
            tuple(said[:judgements]),
            max(0, len(said) - judgements),
            self._is_named(key),
            self._published.get(key),
        )

    def doubt(self, keys: Sequence[CaseKey]) -> None:
        with self._lock:
            self._published.update(dict.fromkeys(keys, IN_DOUBT))

    def settle(self, settled: Sequence[Settled]) -> None:
        with self._lock:
            for each in settled:
                self._settle(each)

    def _settle(self, settled: Settled) -> None:
        key = settled.change.key
        if settled.published is None:
            self._published.pop(key, None)
        else:
            self._published[key] = settled.published
        for said, state in settled.states:
            if self._is_current(said):
                self._said[key, said.feedback_id] = said.model_copy(update={"state": state})
        for said in settled.forgotten:
            if self._is_current(said):
                del self._said[key, said.feedback_id]
        current = self._changed.get(key) == settled.change.version
        if settled.retired and current:
            self._said = {place: said for place, said in self._said.items() if place[0] != key}
            self._drop_pieces(key)
        if current:
            del self._changed[key]

    def _is_current(self, said: Said) -> bool:
        held = self._said.get((said.case, said.feedback_id))
        return held is not None and held.origin is not None and held.digest == said.digest

    def sweep(self, now: datetime, rules: Rules, limit: int) -> int:
        with self._lock:
            expired = {
                said.case
                for said in self._said.values()
                if said.state == "waiting" and said.received_at + rules.wait <= now
            }
            judged = {said.case for said in self._said.values()} | self._published.keys()
            aged = {key for key in judged if self._answered_before(key, now - rules.keep_examples)}
            due = sorted((expired | aged) - self._changed.keys())[:limit]
            for key in due:
                self._mark(key)
            return len(due) + self._remove(now, rules, limit)

    def _answered_before(self, key: CaseKey, moment: datetime) -> bool:
        return key in self._outcomes and self._outcomes[key].created_at <= moment

    def _remove(self, now: datetime, rules: Rules, limit: int) -> int:
        old = [key for key, at in self._noted.items() if at + rules.keep <= now and not self._is_judged(key)][:limit]
        for key in old:
            self._drop_pieces(key)
            if self._noted[key] + 2 * rules.keep <= now:
                self._outcomes.pop(key, None)
                del self._noted[key]
        shells = [
            place
            for place, said in self._said.items()
            if said.origin is None and said.case not in self._outcomes and said.received_at + rules.keep <= now
        ][:limit]
        for place in shells:
            del self._said[place]
        past = [key for key, at in self._withdrawn.items() if at + rules.keep_examples <= now][:limit]
        for name in past:
            del self._withdrawn[name]
        return len(shells) + len(past)

    def _drop_pieces(self, key: CaseKey) -> None:
        self._prompts = {place: prompt for place, prompt in self._prompts.items() if place[0] != key}
        self._answers = {place: answer for place, answer in self._answers.items() if place[0] != key}

    def close(self) -> None:
        return None
