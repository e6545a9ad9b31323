"""Events to records and back: JSON body, CloudEvents 1.0 binary-mode headers, trace context per hop.

Every byte string that is not a well-formed event of the expected type and version becomes `Rejected` with a
message that says what is wrong and where, and never quotes the content.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TypeVar

from pydantic import ValidationError

from libs.bus._ids import input_id
from libs.bus.errors import Rejected
from libs.bus.records import Header, Record, StoredRecord, header
from schemas.base import Event, Shadow
from schemas.topics import REPLY_PARTITIONS

E = TypeVar("E", bound=Event)

MAX_EVENT_BYTES = 1024 * 1024
"""A larger body is refused at the door; carry such content by reference."""
INPUT_HEADER = "tailrace_input"
"""`topic/partition/offset` of the record that caused this one; memories read it back."""
REPLY_TO_HEADER = "reply_to"
SHADOW_HEADER = "shadow"
"""JSON of a `Shadow`: on a submitted prompt, that it is one."""
_JSON = (b"application/json", b"application/cloudevents+json")
_MAX_ID = 512
_MAX_TRACESTATE = 512
_PLAIN_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$\[\]-]{0,63}|[0-9]{1,5}")
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a record's headers say."""

    id: str
    traceparent: bytes | None = None
    tracestate: bytes | None = None
    reply_to: int | None = None
    shadow: Shadow | None = None


_EXPECTED = {
    "tuple_type": "an array",
    "list_type": "an array",
    "string_type": "a string",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
"""The JSON words for what pydantic says in Python's."""


def decode(record: Record, event_type: type[E]) -> E:
    """The event in the record's body. Raises Rejected."""
    _check_headers(record, event_type)
    if record.value is None:
        raise Rejected(f"the record has a null value; {event_type.TYPE} needs a JSON object as its value")
    if len(record.value) > MAX_EVENT_BYTES:
        raise Rejected(
            f"the body has {len(record.value)} bytes, the limit is {MAX_EVENT_BYTES}; send less, or split it",
            code="too_long",
        )
    try:
        return event_type.model_validate_json(record.value)
    except ValidationError as error:
        raise Rejected(explain(error)) from None


_FAULTS, _REASON_CHARACTERS = 8, 400
"""Of a reason: somebody is to read it."""


def explain(error: ValidationError) -> str:
    """A pydantic error in words, field by field, without any of the content."""
    details = error.errors(include_input=False, include_url=False, include_context=False)
    told = [_detail(d["loc"], d["type"], d["msg"]) for d in details[:_FAULTS]]
    while len(told) > 1 and len("; ".join(told)) > _REASON_CHARACTERS:
        told.pop()
    more = [f"and {len(details) - len(told)} more"] if len(details) > len(told) else []
    return "; ".join([*told, *more])


def _detail(location: tuple[int | str, ...], kind: str, message: str) -> str:
    # A name that is no plain word might be anything, somebody's address too: it is not repeated.
    where = ".".join(str(part) if _PLAIN_NAME.fullmatch(str(part)) else "..." for part in location)
    if kind == "json_invalid":
        return f"the body is not valid JSON ({message.removeprefix('Invalid JSON: ')})"
    if kind == "extra_forbidden":
        return f'unknown field "{where}": remove it or mend its name'
    if kind == "missing":
        return f'required field "{where}" is missing'
    if (expected := _EXPECTED.get(kind)) is not None:
        return f'field "{where}" must be {expected}' if where else f"the body must be {expected}"
    if kind in ("too_short", "too_long"):
        message = re.sub("^(Tuple|List)", "Array", message)
    return f'field "{where}": {message}' if where else message.removeprefix("Value error, ")


def _check_headers(record: Record, event_type: type[Event]) -> None:
    if (content_type := header(record, "content-type")) is not None and not content_type.lower().startswith(_JSON):
        raise Rejected('header "content-type" must be application/json')
    if (ce_type := header(record, "ce_type")) is not None and ce_type != _static(event_type)[0][1]:
        raise Rejected(_type_mismatch(ce_type, event_type))


def _type_mismatch(ce_type: bytes, event_type: type[Event]) -> str:
    given = _text(ce_type, "ce_type")
    if given.rpartition(".v")[0] == event_type.ce_type().rpartition(".v")[0]:
        return f'unknown version: header "ce_type" is not {event_type.ce_type()}, the only one known here'
    return f'header "ce_type" must be {event_type.ce_type()} on this topic'


def _text(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Rejected(f'header "{name}" is not valid UTF-8') from None


def read_envelope(record: Record) -> Envelope:
    """The record's id, trace context and reply address. Raises Rejected for headers that cannot be read."""
    found: dict[str, bytes] = {}
    for key, value in record.headers:
        found.setdefault(key, value)
    ce_id = found.get("ce_id")
    reply_to = found.get(REPLY_TO_HEADER)
    shadow = found.get(SHADOW_HEADER)
    traceparent = found.get("traceparent")
    if traceparent is not None and _TRACEPARENT.fullmatch(traceparent) is None:
        # W3C: an invalid traceparent is ignored, and tracestate with it.
        traceparent = None
    return Envelope(
        input_id(record, _id(ce_id) if ce_id else None),
        traceparent,
        _tracestate(found) if traceparent is not None else None,
        _reply_to(reply_to) if reply_to is not None else None,
        _shadow(shadow) if shadow is not None else None,
    )


def _id(value: bytes) -> str:
    if len(value) > _MAX_ID:
        raise Rejected(f'header "ce_id" has {len(value)} bytes, the limit is {_MAX_ID}')
    return _text(value, "ce_id")


def _tracestate(found: Mapping[str, bytes]) -> bytes | None:
    value = found.get("tracestate")
    return value if value is not None and len(value) <= _MAX_TRACESTATE else None


def _reply_to(value: bytes) -> int:
    if (number := partition_number(value)) is None:
        raise Rejected(
            f'header "{REPLY_TO_HEADER}" must be a partition of the topic reply: a number from 0 to '
            f"{REPLY_PARTITIONS - 1}"
        )
    return number


def _shadow(value: bytes) -> Shadow:
    try:
        return Shadow.model_validate_json(value)
    except ValidationError as error:
        raise Rejected(f'header "{SHADOW_HEADER}" must be a shadow in JSON: {explain(error)}') from None


def shadow_of(value: bytes | None) -> Shadow | None:
    """What a `shadow` header says; None: nothing that could be read."""
    try:
        return None if value is None else Shadow.model_validate_json(value)
    except ValidationError:
        return None


def partition_number(value: bytes | None) -> int | None:
    """What a `reply_to` header says; None: no partition of the topic reply."""
    if value is None or not value.isdigit() or len(value) > 5 or int(value) >= REPLY_PARTITIONS:
        return None
    return int(value)


@cache
def _static(event_type: type[Event]) -> tuple[Header, ...]:
    return (
        ("ce_type", event_type.ce_type().encode()),
        ("ce_specversion", b"1.0"),
        ("content-type", b"application/json"),
    )


def headers_for(
    event: Event,
    event_id: str,
    source: str,
    *,
    now: datetime | None = None,
    envelope: Envelope | None = None,
    cause: Record | None = None,
) -> tuple[Header, ...]:
    """CloudEvents, trace and origin headers of an event about to be written."""
    time = (now or datetime.now(UTC)).isoformat()
    headers = [
        *_static(type(event)),
        ("ce_id", event_id.encode()),
        ("ce_source", f"/tailrace/{source}".encode()),
        ("ce_time", time.encode()),
        ("ce_subject", event.key.encode()),
    ]
    if envelope is not None and envelope.traceparent is not None:
        headers.append(("traceparent", envelope.traceparent))
        if envelope.tracestate is not None:
            headers.append(("tracestate", envelope.tracestate))
    if cause is not None:
        headers.append((INPUT_HEADER, f"{cause.topic}/{cause.partition}/{cause.offset}".encode()))
    return tuple(headers)


def encode(event: Event) -> bytes:
    """The event's JSON body."""
    return event.__pydantic_serializer__.to_json(event)


def cause_of(record: Record) -> tuple[str, int, int] | None:
    """Topic, partition and offset of the input that led to this record, where it says so."""
    value = header(record, INPUT_HEADER)
    if value is None:
        return None
    parts = value.decode(errors="replace").rsplit("/", 2)
    if len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        return None
    return parts[0], int(parts[1]), int(parts[2])


def stored(event: Event, *, topic: str, partition: int = 0, offset: int = 0, timestamp: int = 0) -> StoredRecord:
    """A record holding the event without headers, as a plain upstream would write it."""
    return StoredRecord(topic, partition, offset, timestamp, event.key.encode(), encode(event))
