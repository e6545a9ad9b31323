"""One prompt's way: the events found on the topics, in time order, with what each step took and what it waited.

Holds places, times, types and reasons; never text of prompts or answers.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from libs.bus import Record, cause_of, header
from libs.bus.failures import salvage
from schemas.base import Reason
from schemas.topics import topic_named
from services.console.domain.addresses import Address

_OUTCOMES = ("response-ready", "response-ready-batch", "response-shadow")


class Hop(BaseModel):
    """One event of the prompt's way. Times in milliseconds."""

    model_config = ConfigDict(frozen=True)

    address: str
    event: str
    service: str | None
    event_id: str | None
    cause: str | None
    """Address of the event that led to this one."""
    at: datetime
    since_submitted_ms: float
    took_ms: float | None = None
    """From the cause's being written to this one's."""
    handled_ms: float | None = None
    """Of that, the time the service itself counted."""
    waited_ms: float | None = None
    """The rest: on the wire, and in line behind others."""
    detail: str | None = None


class Trace(BaseModel):
    """A prompt's whole way as far as the topics still hold it."""

    model_config = ConfigDict(frozen=True)

    prompt_id: str
    tenant: str
    conversation_id: str | None
    status: str | None
    """Of the outcome; None while there is none."""
    reason: Reason | None
    total_ms: float | None
    first_text_ms: float | None
    """From the prompt's being written to the first streamed text's, where it was streamed."""
    stages_ms: dict[str, float]
    """Time spent per stage, as the outcome carries it."""
    hops: tuple[Hop, ...]
    pending: tuple[str, ...]
    """What was written and nothing has come of yet."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A record that belongs to the prompt, with the fields of its body that are no content."""

    record: Record
    fields: dict[str, Any]

    @property
    def address(self) -> str:
        """Where it lies."""
        return str(Address(self.record.topic, self.record.partition, self.record.offset))

    @property
    def at(self) -> datetime:
        """When it was written: to the microsecond where its writer says so, else the record's time stamp."""
        stamped = datetime.fromtimestamp(self.record.timestamp / 1000, UTC)
        if (text := header(self.record, "ce_time")) is None or header(self.record, "dlq_topic"):
            return stamped
        try:
            said = datetime.fromisoformat(text.decode())
        except ValueError:
            return stamped
        # An upstream's own clock may be anything.
        return said if said.tzinfo and abs((said - stamped).total_seconds()) < 1 else stamped


def sighting(record: Record, prompt_id: str, tenant: str) -> Sighting | None:
    """The record as part of this prompt's way; None when it is of another prompt."""
    if prompt_id.isascii() and prompt_id.isalnum() and prompt_id.encode() not in (record.value or b""):
        return None
    found = salvage(record)
    if found is None or (found["prompt_id"], found["tenant"]) != (prompt_id, tenant):
        return None
    return Sighting(record, _fields(record))


def _fields(record: Record) -> dict[str, Any]:
    try:
        body = json.loads(record.value or b"")
    except (ValueError, RecursionError):
        return {}
    kept = (
        "conversation_id",
        "reply_to",
        "timings_ms",
        "status",
        "reason",
        "kind",
        "index",
        "flags",
        "masked",
        "usage",
    )
    return {name: body[name] for name in kept if name in body} if isinstance(body, dict) else {}


def build(prompt_id: str, tenant: str, found: Iterable[Sighting]) -> Trace:
    """The way in time order."""
    sightings = sorted({s.address: s for s in found}.values(), key=lambda s: (s.at, s.record.topic, s.record.offset))
    by_address = {s.address: s for s in sightings}
    start = _start(sightings)
    outcome = next((s for s in sightings if s.record.topic in _OUTCOMES), None)
    text = next((s for s in sightings if s.record.topic == "reply" and s.fields.get("kind") == "text"), None)
    fields = outcome.fields if outcome else {}
    return Trace(
        prompt_id=prompt_id,
        tenant=tenant,
        conversation_id=next((c for s in sightings if (c := s.fields.get("conversation_id"))), None),
        status=fields.get("status"),
        reason=fields.get("reason"),
        total_ms=_ms(start, outcome.at) if start and outcome else None,
        first_text_ms=_ms(start, text.at) if start and text else None,
        stages_ms=fields.get("timings_ms") or {},
        hops=tuple(_hop(s, by_address, start or s.at) for s in sightings),
        pending=() if outcome else _pending(sightings),
    )


def _start(sightings: Sequence[Sighting]) -> datetime | None:
    submitted = [s.at for s in sightings if s.record.topic.startswith("prompt-submitted")]
    return min(submitted, default=sightings[0].at if sightings else None)


def _hop(sighting: Sighting, known: dict[str, Sighting], start: datetime) -> Hop:
    record = sighting.record
    cause = cause_of(record)
    address = str(Address(*cause)) if cause and not header(record, "dlq_topic") else _dead_letter_cause(record)
    before = known.get(address) if address else None
    took = _ms(before.at, sighting.at) if before else None
    handled = _handled(sighting, before)
    waited = max(0.0, took - handled) if took is not None and handled is not None else None
    return Hop(
        address=sighting.address,
        event=_event(record),
        service=_service(record),
        event_id=_text(record, "ce_id"),
        cause=address,
        at=sighting.at,
        since_submitted_ms=_ms(start, sighting.at),
        took_ms=took,
        handled_ms=handled,
        waited_ms=None if waited is None else round(waited, 3),
        detail=_detail(sighting),
    )


def _dead_letter_cause(record: Record) -> str | None:
    topic, partition, offset = (_text(record, f"dlq_{name}") for name in ("topic", "partition", "offset"))
    return f"{topic}/{partition}/{offset}" if topic else None


def _handled(sighting: Sighting, before: Sighting | None) -> float | None:
    """What the service added to `timings_ms` between its input and this output."""
    now: dict[str, float] = sighting.fields.get("timings_ms") or {}
    service = _service(sighting.record)
    if service is None or service not in now or before is None:
        return None
    earlier: dict[str, float] = before.fields.get("timings_ms") or {}
    return round(now[service] - earlier.get(service, 0.0), 3)


def _event(record: Record) -> str:
    if header(record, "dlq_topic"):
        return "dead letter"
    event = topic_named(record.topic).event
    return event.TYPE if event else record.topic


def _service(record: Record) -> str | None:
    if (stage := _text(record, "dlq_stage")) is not None:
        return stage
    source = _text(record, "ce_source")
    return source.removeprefix("/tailrace/") if source else None


def _text(record: Record, name: str) -> str | None:
    value = header(record, name)
    return None if value is None else value.decode(errors="replace")


def _detail(sighting: Sighting) -> str | None:
    fields, record = sighting.fields, sighting.record
    if (code := _text(record, "dlq_code")) is not None:
        return f"{code}: {_text(record, 'dlq_reason')}"
    reason = fields.get("reason")
    told = [
        str(fields["status"]) if "status" in fields else "",
        f"{reason.get('code')}: {reason.get('message')}" if isinstance(reason, dict) else "",
        f"masked {_counts(fields['masked'])}" if fields.get("masked") else "",
        f"flags {', '.join(map(str, fields['flags']))}" if fields.get("flags") else "",
        f"{fields.get('kind') or 'window'} {fields['index']}" if fields.get("index") is not None else "",
    ]
    return "; ".join(t for t in told if t) or None


def _counts(masked: dict[str, int]) -> str:
    return ", ".join(f"{count} {entity}" for entity, count in masked.items())


def _pending(sightings: Sequence[Sighting]) -> tuple[str, ...]:
    """Events that a service reads and that led to nothing so far."""
    causes = {str(Address(*cause)) for s in sightings if (cause := cause_of(s.record))}
    dead = {_dead_letter_cause(s.record) for s in sightings}
    return tuple(
        f"{s.address} waits for {' and '.join(readers)}"
        for s in sightings
        if s.address not in causes | dead and (readers := _readers(s.record.topic))
    )


def _readers(topic: str) -> tuple[str, ...]:
    return tuple(c for c in topic_named(topic).consumers if c not in ("upstream", "console", "gateway", "feedback"))


def _ms(start: datetime, end: datetime) -> float:
    return round((end - start).total_seconds() * 1000, 3)
