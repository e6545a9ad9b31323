"""Writing dead letters back: from which record, what stands against it, and the writing itself."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from libs.bus import Bus, Outgoing, Record, cause_of
from schemas.base import PathEvent
from schemas.prompts import PromptRepeated, PromptSubmitted
from schemas.topics import topic_named
from services.console.domain.addresses import Address
from services.console.domain.dead_letters import DeadLetter, describe
from services.console.domain.errors import ConsoleError
from services.console.domain.mending import may_be_mended, problem
from services.console.domain.outcomes import Answered, Identity
from services.console.domain.writing_back import asked_anew, identity_of, record_it_was, written_back
from services.console.handlers.dead_letters import fetch
from services.console.handlers.outcomes import outcomes_of

KNOWN_FOR = timedelta(hours=24)
"""A letter may tell of an id that was used so long before."""
_STEPS = 8


@dataclass(frozen=True, slots=True)
class Chosen:
    """A letter, the record to write back, and the body to write."""

    letter: Record
    base: Record
    body: bytes | None

    @property
    def address(self) -> Address:
        """Of the letter."""
        return Address(self.letter.topic, self.letter.partition, self.letter.offset)


@dataclass(frozen=True, slots=True)
class Planned:
    """What comes of a letter: a record to write, or why there is none."""

    letter: DeadLetter
    outgoing: Outgoing | None
    says: str
    prompt_id: str | None = None


async def base_of(bus: Bus, letter: Record, *, as_new: bool) -> Record:
    """The record to write back: what the letter was, or, to ask anew, the prompt as it was submitted."""
    base = record_it_was(letter)
    for _ in range(_STEPS):
        event = topic_named(base.topic).event
        if not as_new or event is PromptSubmitted:
            return base
        cause = cause_of(base)
        if event is None or not issubclass(event, PathEvent) or cause is None:
            break
        base = await fetch(bus, Address(*cause))
    raise ConsoleError("it does not go back to a submitted prompt, so it cannot be asked anew")


async def plan(bus: Bus, chosen: Sequence[Chosen], *, as_new: bool) -> list[Planned]:
    """What would be written, and what would not: no id that has its outcome, nothing its topic cannot read."""
    named = [_named(it, as_new=as_new) for it in chosen]
    since = min((it.letter.timestamp for it in chosen), default=0) - int(KNOWN_FOR.total_seconds() * 1000)
    identities = [None if isinstance(it, Planned) else identity_of(it.base, it.body) for it in named]
    known = await outcomes_of(bus, {it for it in identities if it is not None}, since)
    return [
        it if isinstance(it, Planned) else await _planned(bus, it, identity, known)
        for it, identity in zip(named, identities, strict=True)
    ]


def left_out(letter: Record, why: str) -> Planned:
    """A letter that is not written back."""
    told = describe(letter)
    return Planned(told, None, why, told.prompt_id)


def _named(it: Chosen, *, as_new: bool) -> Chosen | Planned:
    """The letter with its body as it would be written, if it may be."""
    topic = it.base.topic
    if it.body != it.base.value and not may_be_mended(topic):
        why = f"{topic} lies past the gate: what is changed there would pass unexamined; ask it anew (--as-new)"
        return left_out(it.letter, why)
    try:
        named = replace(it, body=asked_anew(it.body, it.address)) if as_new else it
    except ConsoleError as error:
        return left_out(it.letter, str(error))
    if (wrong := problem(topic, named.body)) is not None:
        why = f"it would be given up again: {wrong}; mend it (--edit, --set, --unset, --body)"
        return left_out(it.letter, why)
    return named


async def _planned(bus: Bus, it: Chosen, identity: Identity | None, known: dict[Identity, Answered]) -> Planned:
    topic = it.base.topic
    if identity is not None and identity in known and _ends_in_an_outcome(topic):
        why = f'prompt "{identity[1]}" has its outcome: {known[identity]}; ask it under another id (--as-new)'
        return left_out(it.letter, why)
    outgoing = written_back(it.base, it.body, it.address, len(await bus.partitions(topic)))
    return Planned(describe(it.letter), outgoing, f"to {topic}", None if identity is None else identity[1])


def _ends_in_an_outcome(topic: str) -> bool:
    event = topic_named(topic).event
    return event is not None and issubclass(event, PathEvent | PromptSubmitted) and event is not PromptRepeated


async def write(bus: Bus, outgoing: Collection[Outgoing]) -> list[Address]:
    """Writes the records in this order; where they lie now."""
    producer = await bus.producer()
    try:
        written = [await (await producer.send(record)) for record in outgoing]
    finally:
        await producer.stop()
    return [Address(o.topic, w.partition, w.offset) for o, w in zip(outgoing, written, strict=True)]  # type: ignore[attr-defined]
