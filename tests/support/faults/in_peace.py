"""What feedback would have written had nothing happened to it: the log's records, once, into a store in memory.

The service's own handlers, rules and recorder; no process, no broker, no database, nothing done twice.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from libs.bus import Record, StoredRecord, header
from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from schemas.base import Event
from schemas.completions import CompletionCleared
from schemas.feedback import FeedbackSubmitted, SubjectErased
from schemas.prompts import PromptCleared
from schemas.responses import ResponseReady
from schemas.topics import topics_of
from services.feedback.adapters.in_memory import InMemoryStore
from tests.support.faults.critics import Critics
from tests.unit.feedback.parts import RULES, Arrival, Desk

HEARD: tuple[type[Event], ...] = (PromptCleared, CompletionCleared, ResponseReady, FeedbackSubmitted, SubjectErased)
Letters = set[tuple[str, str]]
"""Feedback id and code."""


@dataclass(frozen=True)
class FromLog(Arrival):
    """An event in the very record that holds it."""

    stored: StoredRecord | None = None

    @property
    def record(self) -> StoredRecord:
        assert self.stored is not None
        return self.stored


@dataclass(frozen=True)
class Ends:
    """The last example about each response, and which feedback came to nothing."""

    examples: dict[str, bytes]
    letters: Letters


async def undisturbed(bus: KafkaBus, critics: Critics, *, waited: bool) -> Ends:
    """Of the log as it is now. `waited`: feedback of unknown responses has waited long enough."""
    desk = Desk(InMemoryStore())
    desk.now = utc_now()
    for event in HEARD:
        await desk.hear(*[arrival async for arrival in _arrivals(bus, event, critics)])
    await desk.settle()
    if waited:
        await desk.later(RULES.wait)
    return Ends(desk.examples, {_letter(record) for record in desk.bus.records("feedback-submitted-dlq")})


async def written(bus: KafkaBus, critics: Critics) -> Ends:
    """What the log holds, of these critics."""
    records = [record async for record in read(bus, "example-recorded")]
    last = {(r.key or b"").decode(): r.value for r in records if critics.about(r)}
    letters = {_letter(r) async for r in read(bus, "feedback-submitted-dlq") if critics.about(r)}
    return Ends({key: value for key, value in last.items() if value is not None}, letters)


async def read(bus: KafkaBus, topic: str) -> AsyncIterator[Record]:
    """All that a topic holds now."""
    for partition, end in (await bus.end_offsets(topic)).items():
        async for record in bus.read(topic, partition, end=end):
            yield record


async def _arrivals(bus: KafkaBus, event: type[Event], critics: Critics) -> AsyncIterator[Arrival]:
    for topic in topics_of(event):
        async for r in read(bus, topic.name):
            if critics.about(r):
                stored = StoredRecord(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, tuple(r.headers))
                yield FromLog(event.model_validate_json(r.value or b""), stored=stored)


def _letter(record: Record) -> tuple[str, str]:
    body: dict[str, Any] = json.loads(record.value or b"")
    return body["feedback_id"], (header(record, "dlq_code") or b"").decode()
