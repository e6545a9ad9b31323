"""Records as CloudEvents 1.0 in binary mode, with W3C trace context; plain records are read as well."""

import re
from datetime import UTC, datetime

import pytest

from libs.bus import Envelope, Rejected, StoredRecord, decode, encode, headers_for, read_envelope
from schemas.base import Event
from schemas.publish import EXAMPLES, events
from schemas.topics import topic_of

EVENTS = pytest.mark.parametrize("event_type", events(), ids=lambda event: event.TYPE)
NOW = datetime(2026, 3, 2, 9, 15, 4, tzinfo=UTC)
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@EVENTS
def test_a_written_record_has_every_header_of_the_specification(event_type: type[Event]) -> None:
    event = _full(event_type)
    headers = dict(headers_for(event, "an-id", "safety", now=NOW))
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_id"] == b"an-id"
    assert headers["ce_source"] == b"/tailrace/safety"
    assert headers["ce_type"] == f"tailrace.{event_type.TYPE}.v{event_type.VERSION}".encode()
    assert headers["ce_subject"] == event.key.encode()
    assert headers["ce_time"] == b"2026-03-02T09:15:04+00:00"
    assert headers["content-type"] == b"application/json"


@EVENTS
def test_header_names_are_those_the_specification_allows(event_type: type[Event]) -> None:
    names = [name for name, _ in headers_for(_full(event_type), "an-id", "safety", now=NOW)]
    attributes = [name.removeprefix("ce_") for name in names if name.startswith("ce_")]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", name) for name in attributes)


@EVENTS
def test_what_is_written_is_read_back_the_same(event_type: type[Event]) -> None:
    event = _full(event_type)
    record = _record(event_type, encode(event), headers_for(event, "an-id", "safety", now=NOW))
    assert decode(record, event_type) == event


@EVENTS
def test_a_plain_record_without_headers_is_read(event_type: type[Event]) -> None:
    event = _full(event_type)
    assert decode(_record(event_type, encode(event)), event_type) == event


@EVENTS
def test_a_record_of_an_unknown_version_is_rejected(event_type: type[Event]) -> None:
    headers = (("ce_type", f"tailrace.{event_type.TYPE}.v99".encode()),)
    with pytest.raises(Rejected, match="unknown version"):
        decode(_record(event_type, encode(_full(event_type)), headers), event_type)


def test_trace_context_travels_beside_the_event() -> None:
    event = _full(events()[0])
    headers = headers_for(event, "an-id", "safety", now=NOW, envelope=Envelope("before", TRACE, b"vendor=1"))
    envelope = read_envelope(_record(type(event), encode(event), headers))
    assert (envelope.id, envelope.traceparent, envelope.tracestate) == ("an-id", TRACE, b"vendor=1")


def test_the_reply_address_is_a_header_of_the_record() -> None:
    event = _full(events()[0])
    assert read_envelope(_record(type(event), encode(event), (("reply_to", b"3"),))).reply_to == 3


def _full(event_type: type[Event]) -> Event:
    return event_type.model_validate_json((EXAMPLES / event_type.TYPE / "full.json").read_text(encoding="utf-8"))


def _record(event_type: type[Event], body: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> StoredRecord:
    return StoredRecord(topic_of(event_type).name, 0, 0, 0, b"key", body, headers)
