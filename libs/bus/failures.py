"""What is written when a record cannot be handled: the dead letter, and an outcome so that nobody waits for ever.

An outcome needs no more than a readable `prompt_id` (or `document_id`): it is salvaged from broken bodies too.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from libs.bus.envelope import REPLY_TO_HEADER, SHADOW_HEADER, partition_number, shadow_of
from libs.bus.records import Header, Outgoing, Record, header, headers_size, written_at
from schemas.base import Event, Identifier, PathEvent, Reason, ReasonCode, Shadow, TenantName
from schemas.documents import DocumentAccepted, DocumentRefused, DocumentSubmitted
from schemas.prompts import PromptFailed, PromptRefused, PromptSubmitted
from schemas.topics import MAX_MESSAGE_BYTES, dead_letter_topic

_IDENTIFIER: TypeAdapter[str] = TypeAdapter(Identifier)
_TENANT: TypeAdapter[str] = TypeAdapter(TenantName)
_MAX_LETTER = MAX_MESSAGE_BYTES - 64 * 1024
_FIELD = r'"%s"\s*:\s*("(?:[^"\\\x00-\x1f]|\\.){1,512}")'


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record was given up."""

    code: ReasonCode
    message: str
    stage: str
    rejected: bool
    """True: the message was wrong. False: retries ran out, or a bug."""
    attempts: int = 1
    answered: bool = False
    """The outcome comes from elsewhere."""
    error: BaseException | None = field(default=None, compare=False)

    @property
    def reason(self) -> Reason:
        """The same, as outcomes carry it."""
        return Reason(code=self.code, message=self.message, stage=self.stage)


def dead_letter(record: Record, failure: Failure, *, now: datetime) -> Outgoing:
    """The record as it was, with the reason and its place of origin in added headers."""
    notes = {
        "dlq_code": failure.code,
        "dlq_reason": failure.message[:2000],
        "dlq_stage": failure.stage,
        "dlq_attempts": str(failure.attempts),
        "dlq_topic": record.topic,
        "dlq_partition": str(record.partition),
        "dlq_offset": str(record.offset),
        "dlq_time": now.isoformat(),
    }
    added = tuple((name, text.encode(errors="replace")) for name, text in notes.items())
    kept = tuple((k, v) for k, v in record.headers if not k.startswith("dlq_"))
    return _that_fits(dead_letter_topic(record.topic), record, kept, added)


def _that_fits(topic: str, record: Record, kept: Sequence[Header], added: Sequence[Header]) -> Outgoing:
    """The added headers may push a large record over the broker's limit: cut, it still names its place of origin."""
    room = _MAX_LETTER - headers_size(added)
    key = record.key if record.key is None or len(record.key) <= room // 4 else record.key[: room // 4]
    room -= len(key or b"")
    if headers_size(kept) > room // 2:
        kept = ()
    room -= headers_size(kept)
    value = record.value if record.value is None or len(record.value) <= room else record.value[:room]
    if key is None and value is None:
        # The producer takes no record without both.
        value = b""
    return Outgoing(topic, key, value, (*kept, *added))


def outcomes(record: Record, event: Event | None, event_type: type[Event], failure: Failure) -> Sequence[Event]:
    """What to tell whoever waits for this record. `event` is None where the body could not be read."""
    if failure.answered or issubclass(event_type, PromptFailed):
        # A prompt-failed that fails would fail the same way again: the dead letter is the end of it.
        return ()
    if issubclass(event_type, DocumentSubmitted | DocumentAccepted):
        return _document_outcome(record, event, failure)
    if issubclass(event_type, PromptSubmitted | PathEvent):
        return _prompt_outcome(record, event, event_type, failure)
    return ()


def outcome_types(event_type: type[Event]) -> tuple[type[Event], ...]:
    """What `outcomes` may write for a record of that type."""
    if issubclass(event_type, DocumentSubmitted | DocumentAccepted):
        return (DocumentRefused,)
    if issubclass(event_type, PromptFailed) or not issubclass(event_type, PromptSubmitted | PathEvent):
        return ()
    return (PromptFailed,) if issubclass(event_type, PromptRefused) else (PromptRefused, PromptFailed)


def _prompt_outcome(
    record: Record, event: Event | None, event_type: type[Event], failure: Failure
) -> Sequence[PromptRefused | PromptFailed]:
    carried = event.carried() if isinstance(event, PathEvent) else salvage(record)
    if carried is None:
        return ()
    # What the upstream can mend is refused; nonsense on an internal topic is ours, so the prompt has failed. A
    # refusal that fails must not come back as a refusal for ever.
    readable = event is not None and not isinstance(event, PromptRefused)
    refused = failure.rejected and (readable or issubclass(event_type, PromptSubmitted))
    kind = PromptRefused if refused else PromptFailed
    return (kind(**carried, reason=failure.reason),)


def _document_outcome(record: Record, event: Event | None, failure: Failure) -> Sequence[DocumentRefused]:
    if isinstance(event, DocumentSubmitted | DocumentAccepted):
        document_id, tenant = event.document_id, event.tenant
    else:
        found = _identifier(record.value or b"", "document_id", limit=512)
        if found is None:
            return ()
        document_id, tenant = found, _tenant(record.value or b"")
    return (DocumentRefused(document_id=document_id, tenant=tenant, reason=failure.reason),)


def salvage(record: Record) -> dict[str, object] | None:
    """The prompt's identity out of a body that is not a valid event. None: no readable `prompt_id`."""
    body = record.value or b""
    prompt_id = _identifier(body, "prompt_id")
    if prompt_id is None:
        return None
    return {
        "prompt_id": prompt_id,
        "tenant": _tenant(body),
        "conversation_id": _identifier(body, "conversation_id") or prompt_id,
        "reply_to": partition_number(header(record, REPLY_TO_HEADER)),
        "shadow": _shadow(record, body),
        "submitted_at": written_at(record),
    }


def _shadow(record: Record, body: bytes) -> Shadow | None:
    """A submitted prompt says it in a header, where its writer cannot put it by mistake; our own events in a field."""
    if record.topic.startswith(PromptSubmitted.TYPE):
        return shadow_of(header(record, SHADOW_HEADER))
    found = _value(body, "shadow")
    return shadow_of(json.dumps(found).encode()) if isinstance(found, dict) else None


def _tenant(body: bytes) -> str:
    found = _value(body, "tenant")
    try:
        return _TENANT.validate_python(found if found is not None else "default")
    except ValidationError:
        return "default"


def _identifier(body: bytes, field: str, limit: int = 128) -> str | None:
    found = _value(body, field)
    if not isinstance(found, str) or not 1 <= len(found) <= limit:
        return None
    # JSON can spell a lone surrogate, which no UTF-8 record key can hold.
    return found if found.isascii() or found.encode(errors="ignore").decode() == found else None


def _value(body: bytes, field: str) -> object:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return _scan(body, field)
    return parsed.get(field) if isinstance(parsed, dict) else None


def _scan(body: bytes, field: str) -> object:
    """The field's string in bytes that are no JSON document, e.g. one cut short."""
    match = re.search((_FIELD % field).encode(), body)
    if match is None:
        return None
    try:
        return json.loads(match[1])
    except ValueError:
        return None
