"""What follows from the facts about one response: its example, and which feedback can never become part of one.

A pure function of facts, rules and time: so it may be done again after a crash, and comes out the same.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.base import ReasonCode
from schemas.feedback import ExampleRecorded, Judgement
from services.feedback.domain.cases import Answered, Case
from services.feedback.domain.facts import Said, State
from services.feedback.domain.texts import Mask, masked_as_one, not_plain, same_text


@dataclass(frozen=True, slots=True)
class Rules:
    """How long is waited and kept, and how large an example may become."""

    wait: timedelta
    """For a response that is not known yet."""
    keep: timedelta
    """How long after an answer feedback about it is taken."""
    keep_examples: timedelta
    judgements: int
    """Of one example."""
    room: int
    """Bytes of one example."""


@dataclass(frozen=True, slots=True)
class Letter:
    """Feedback that comes to nothing, and why."""

    said: Said
    message: str
    code: ReasonCode = "invalid_request"
    expired: bool = False
    """It waited in vain: it is forgotten, and may be sent again."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What follows. `states`: of each judgement that is not empty."""

    example: ExampleRecorded | None = None
    letters: tuple[Letter, ...] = ()
    states: tuple[tuple[Said, State], ...] = ()
    left_out: int = 0
    """Judgements for which the example had no room."""
    decided: bool = True
    """False: what was written before stays, until more is known."""
    retired: bool = False
    """So old that it leaves the store."""


def rule(case: Case, *, now: datetime, rules: Rules, mask: Mask) -> Ruling:
    """The one decision about a response."""
    said = [each for each in case.said if each.origin is not None]
    outcome = case.outcome
    if outcome is None:
        return _not_known_yet(said, (), now, rules)
    if outcome.created_at + rules.keep_examples <= now:
        return _retired(said, rules)
    end = outcome.created_at + rules.keep
    late = [Letter(each, _too_old(rules)) for each in said if each.received_at > end]
    said = [each for each in said if each.received_at <= end]
    if outcome.status != "answered":
        message = f"the prompt was {outcome.status}: there is no answer to judge"
        return _ruling([*late, *(Letter(each, message) for each in said)], ())
    if case.answered is None:
        return _not_known_yet(said, late, now, rules)
    return _judged(case, case.answered, said, late, rules, mask)


def _not_known_yet(said: Sequence[Said], late: Sequence[Letter], now: datetime, rules: Rules) -> Ruling:
    message = f'no answer with this "response_id" became known within {rules.wait}; check the id, its tenant and yours'
    expired = [Letter(s, message, "deadline_exceeded", expired=True) for s in said if s.received_at + rules.wait <= now]
    gone = {letter.said.feedback_id for letter in expired}
    waiting: list[tuple[Said, State]] = [(s, "waiting") for s in said if s.feedback_id not in gone]
    ruling = _ruling(late, ())
    return Ruling(letters=(*ruling.letters, *expired), states=(*ruling.states, *waiting), decided=False)


def _retired(said: Sequence[Said], rules: Rules) -> Ruling:
    fresh = [Letter(each, _too_old(rules)) for each in said if each.state in ("new", "waiting")]
    return Ruling(letters=tuple(fresh), retired=True)


def _too_old(rules: Rules) -> str:
    return f"the answer is too old to be judged: feedback is taken for {rules.keep}"


def _judged(
    case: Case, answered: Answered, said: Sequence[Said], letters: list[Letter], rules: Rules, mask: Mask
) -> Ruling:
    shown = [*(message.content for message in answered.prompt.messages), answered.answer.text]
    common, masked = masked_as_one(shown, [_texts(each) for each in said], mask)
    strange = not_plain({s.origin.feedback.subject or "" for s in said if s.origin is not None}, mask)
    judgements: list[Judgement] = []
    for each, texts in zip(said, masked, strict=True):
        judgement = _judgement(each, texts, strange) if texts is not None else None
        if judgement is None:
            letters.append(Letter(each, "personal data in it overlaps so deeply that it cannot be masked: rephrase it"))
        elif judgement.kind == "edit" and same_text(str(judgement.value), common[-1]):
            letters.append(Letter(each, "the edit says what the answer says: send a thumb, or a text that differs"))
        else:
            judgements.append(judgement)
    example, left_out = _example(answered, common, judgements, rules) if case.said or case.named else (None, 0)
    ruling = _ruling(letters, said)
    return Ruling(example, ruling.letters, ruling.states, left_out + case.more)


def _ruling(letters: Sequence[Letter], said: Sequence[Said]) -> Ruling:
    """A letter is written once: what was refused before stays so in silence."""
    refused = {letter.said.feedback_id for letter in letters}
    standing: list[tuple[Said, State]] = [(s, "standing") for s in said if s.feedback_id not in refused]
    states: list[tuple[Said, State]] = [(letter.said, "refused") for letter in letters]
    return Ruling(None, tuple(x for x in letters if x.said.state != "refused"), (*standing, *states))


def _texts(said: Said) -> list[str]:
    """All of it that a person wrote freely."""
    assert said.origin is not None
    feedback = said.origin.feedback
    edit = [str(feedback.value)] if feedback.kind == "edit" else []
    return [unicodedata.normalize("NFC", text) for text in (*edit, feedback.comment or "")]


def _judgement(said: Said, texts: Sequence[str], strange: set[str]) -> Judgement | None:
    assert said.origin is not None
    feedback = said.origin.feedback
    if feedback.kind == "withdrawal":
        return None
    return Judgement(
        feedback_id=said.feedback_id,
        kind=feedback.kind,
        value=texts[0] if feedback.kind == "edit" else feedback.value,
        comment=texts[-1] or None,
        subject=_pseudonym(said, feedback.subject, strange),
        consent=feedback.consent.training,
        created_at=said.created_at,
    )


def _pseudonym(said: Said, subject: str | None, strange: set[str]) -> str | None:
    """The upstream's own pseudonym; a hash where that is personal data after all."""
    return f"subject-{(said.subject_key or '')[:32]}" if subject in strange else subject


def _example(
    answered: Answered, masked: Sequence[str], judgements: Sequence[Judgement], rules: Rules
) -> tuple[ExampleRecorded, int]:
    """The example, and how many judgements it had no room for."""
    prompt, answer = answered.prompt, answered.answer
    messages = tuple(m.model_copy(update={"content": t}) for m, t in zip(prompt.messages, masked, strict=False))
    bare = ExampleRecorded(
        response_id=prompt.case.response_id,
        tenant=prompt.case.tenant,
        prompt_id=prompt.prompt_id,
        conversation_id=prompt.conversation_id,
        messages=messages,
        text=masked[-1],
        model=answer.model,
        template=answer.template,
        policy=answer.policy,
        answered_at=answered.outcome.created_at,
    )
    room = rules.room - len(bare.model_dump_json().encode())
    kept: list[Judgement] = []
    for judgement in judgements[: rules.judgements]:
        room -= len(judgement.model_dump_json().encode()) + 1
        if room >= 0:
            kept.append(judgement)
    return bare.model_copy(update={"judgements": tuple(kept)}), len(judgements) - len(kept)
