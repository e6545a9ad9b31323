"""Bytes from anywhere: read as an event, or rejected with a reason; what can be salvaged is."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.bus import Outgoing, Rejected, StoredRecord, cause_of, decode, encode, header, headers_for, read_envelope
from libs.bus._ids import input_id, output_id
from libs.bus.failures import Failure, dead_letter, outcomes, salvage
from libs.bus.records import Header, headers_size
from schemas.base import Event
from schemas.documents import DocumentAccepted, DocumentSubmitted
from schemas.prompts import PromptAccepted, PromptRefused, PromptSubmitted
from schemas.topics import MAX_MESSAGE_BYTES
from tests.support.bus_bench import question

TYPES: tuple[type[Event], ...] = (PromptSubmitted, PromptAccepted, DocumentSubmitted, DocumentAccepted)
NAMES = st.sampled_from(["ce_id", "ce_type", "content-type", "reply_to", "traceparent", "tracestate", "x", "dlq_code"])
VALUES = st.one_of(st.none(), st.binary(max_size=40), st.sampled_from([b"3", b"99", b"-1", b"application/json"]))
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=6).map(tuple)
ODD = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(-(10**30), 10**30), st.text(max_size=20), st.just("\ud800")
)
FIELDS = st.sampled_from(["prompt_id", "tenant", "conversation_id", "messages", "document_id", "content", "deadline"])
OBJECTS = st.dictionaries(
    FIELDS, st.recursive(ODD, lambda inner: st.lists(inner, max_size=3), max_leaves=5), max_size=5
)
BODIES = st.one_of(
    st.none(),
    st.binary(max_size=200),
    OBJECTS.map(lambda found: json.dumps(found).encode()),
    OBJECTS.map(lambda found: json.dumps(found).encode()[:-5]),
)
TIMES = st.one_of(st.integers(-(2**63), 2**63 - 1), st.just(0))
FAILURE = Failure("invalid_request", "no", "test", rejected=True)


def record(
    value: bytes | None, headers: tuple[Header, ...] = (), *, key: bytes | None = b"k", timestamp: int = 0
) -> StoredRecord:
    return StoredRecord("prompt-submitted", 1, 7, timestamp, key, value, headers)


@settings(max_examples=300)
@given(BODIES, HEADERS, st.sampled_from(TYPES))
def test_any_bytes_are_an_event_or_rejected(
    body: bytes | None, headers: tuple[Header, ...], event_type: type[Event]
) -> None:
    try:
        read_envelope(record(body, headers))
        assert isinstance(decode(record(body, headers), event_type), event_type)
    except Rejected as rejection:
        assert str(rejection)  # noqa: PT017 - either way is right; nothing else may be raised


@settings(max_examples=300)
@given(BODIES, HEADERS, TIMES, st.sampled_from(TYPES))
def test_every_rejected_record_can_be_told_and_kept(
    body: bytes | None, headers: tuple[Header, ...], timestamp: int, event_type: type[Event]
) -> None:
    broken = record(body, headers, timestamp=timestamp)
    found = salvage(broken)
    assert found is None or 1 <= len(str(found["prompt_id"])) <= 128
    for event in outcomes(broken, None, event_type, FAILURE):
        assert type(event).model_validate_json(encode(event)) == event
        assert event.key.encode()
    letter = dead_letter(broken, FAILURE, now=datetime.now(UTC))
    assert letter.key is not None or letter.value is not None
    assert [h for h in letter.headers if h[0] == "dlq_code"] == [("dlq_code", b"invalid_request")]


@given(st.binary(max_size=64), st.text(min_size=1, max_size=40))
def test_a_cut_body_still_gives_its_prompt_id(tail: bytes, prompt_id: str) -> None:
    body = b'{"prompt_id": ' + json.dumps(prompt_id).encode() + b', "messages": [{"role' + tail
    found = salvage(record(body))
    assert found is not None
    assert found["prompt_id"] == prompt_id


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (b"k" * 3_000_000, b"v" * 1_150_000, ()),
        (b"k", b"v" * 4_190_000, ()),
        (b"k", b"v", (("x", b"h" * 4_150_000),)),
        (b"k", b"v" * 4_128_000, (("x", b"h" * 65_000),)),
        (None, None, (("x", b"h" * 4_190_000),)),
    ],
)
def test_a_dead_letter_fits_whatever_the_broker_took(
    key: bytes | None, value: bytes | None, headers: tuple[Header, ...]
) -> None:
    letter = dead_letter(record(value, headers, key=key), FAILURE, now=datetime.now(UTC))
    assert letter.size < MAX_MESSAGE_BYTES - 10_000
    assert letter.key is not None or letter.value is not None
    assert header_of(letter, "dlq_offset") == b"7"


def header_of(outgoing: Outgoing, name: str) -> bytes | None:
    return dict(outgoing.headers).get(name)


def test_headers_of_no_value_count_as_little() -> None:
    assert headers_size([("x", None)]) < 20  # type: ignore[list-item]


IDS = st.one_of(st.text(min_size=1, max_size=30), st.uuids().map(str))


@given(IDS, IDS, st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]), st.integers(0, 5), st.integers(0, 5))
def test_output_ids_repeat_exactly_when_the_step_does(
    one: str, other: str, stage: str, kind: str, ordinal: int, next_ordinal: int
) -> None:
    made = output_id(one, stage, kind, ordinal)
    assert str(UUID(made)) == made
    assert made == output_id(one, stage, kind, ordinal)
    assert (made == output_id(other, stage, kind, ordinal)) == (one == other)
    assert (made == output_id(one, stage, kind, next_ordinal)) == (ordinal == next_ordinal)
    assert made != output_id(one, stage + "2", kind, ordinal)


@given(st.integers(0, 9), st.integers(0, 9))
def test_an_input_without_an_id_is_known_by_its_place(one: int, other: int) -> None:
    first = StoredRecord("t", 0, one, 0, None, None)
    second = StoredRecord("t", 0, other, 0, None, None)
    assert (input_id(first, None) == input_id(second, None)) == (one == other)
    assert input_id(first, "its own") == "its own"


def test_an_event_comes_back_as_it_was_written() -> None:
    event = question("a")
    written = record(encode(event), headers_for(event, "id", "test", cause=record(b"")))
    assert decode(written, PromptRefused) == event
    assert read_envelope(written).id == "id"
    assert cause_of(written) == ("prompt-submitted", 1, 7)


@pytest.mark.parametrize("value", [b"", b"x", b"t/1", b"t/a/1", b"t/1/-1", b"\xff/1/2x"])
def test_a_damaged_origin_is_no_origin(value: bytes) -> None:
    assert cause_of(record(b"", (("tailrace_input", value),))) is None


GOOD_TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    "trace",
    [
        b"",
        b"00",
        GOOD_TRACE + b"-x",
        GOOD_TRACE.upper(),
        b"ff" + GOOD_TRACE[2:],
        GOOD_TRACE[:3] + b"0" * 32 + GOOD_TRACE[35:],
        GOOD_TRACE[:36] + b"0" * 16 + b"-01",
        b"\xff" * 55,
    ],
)
def test_an_invalid_traceparent_is_ignored_whole(trace: bytes) -> None:
    envelope = read_envelope(record(b"", (("traceparent", trace), ("tracestate", b"a=b"))))
    assert envelope.traceparent is None
    assert envelope.tracestate is None


def test_a_valid_trace_context_is_carried_on() -> None:
    envelope = read_envelope(record(b"", (("traceparent", GOOD_TRACE), ("tracestate", b"a=b"))))
    headers = headers_for(question("a"), "id", "test", envelope=envelope)
    assert ("traceparent", GOOD_TRACE) in headers
    assert ("tracestate", b"a=b") in headers


def test_a_tracestate_beyond_all_measure_is_left_behind() -> None:
    envelope = read_envelope(record(b"", (("traceparent", GOOD_TRACE), ("tracestate", b"a" * 3_000_000))))
    assert envelope.traceparent == GOOD_TRACE
    assert envelope.tracestate is None


@pytest.mark.parametrize("value", [b"16", b"-1", b"", b"three", b"99999", b"000001", b"\xff", "٣".encode()])
def test_a_reply_address_must_be_a_partition_of_reply(value: bytes) -> None:
    with pytest.raises(Rejected, match="0 to 15"):
        read_envelope(record(b"", (("reply_to", value),)))


def test_an_endless_id_is_rejected() -> None:
    with pytest.raises(Rejected, match="ce_id"):
        read_envelope(record(b"", (("ce_id", b"x" * 1000),)))


def test_headers_without_a_value_are_as_if_absent() -> None:
    names = ("ce_id", "ce_type", "content-type", "reply_to", "traceparent")
    plain = record(b'{"document_id": "d", "deleted": true}', tuple((name, None) for name in names))  # type: ignore[misc]
    assert read_envelope(plain) == read_envelope(record(b""))
    assert decode(plain, DocumentSubmitted).document_id == "d"
    assert header(plain, "reply_to") is None


def test_a_rejection_of_very_much_stays_short_enough_to_be_read() -> None:
    wrong = {"prompt_id": "p", "parameters": {"response_format": {f"k{'y' * 60}{n}": 0 for n in range(300)}}}
    with pytest.raises(Rejected, match=r"; and \d+ more$") as caught:
        decode(record(json.dumps(wrong).encode()), PromptSubmitted)
    assert len(str(caught.value)) < 450


def test_a_rejection_never_quotes_the_content() -> None:
    body = b'{"prompt_id": "p", "messages": [{"role": "secret", "content": 7}], "tenant": "my secret"}'
    with pytest.raises(Rejected) as caught:
        decode(record(body), PromptSubmitted)
    assert "secret" not in str(caught.value)
    assert "messages.0.content" in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"messages": 3}, 'field "messages" must be an array'),
        (
            {"messages": [3, 4]},
            (
                'field "messages.0" must be an object; field "messages.1" must be an object; '
                'field "messages": Array should have at least 1 item after validation, not 0'
            ),
        ),
        ({"tenant": 3}, 'field "tenant" must be a string'),
        ({"stream": "perhaps"}, 'field "stream" must be true or false'),
        ({"parameters": {"seed": "x"}}, 'field "parameters.seed" must be an integer'),
        ({"parameters": []}, 'field "parameters" must be an object'),
    ],
)
def test_a_wrong_type_is_told_in_the_words_of_json(fields: dict[str, object], told: str) -> None:
    body = {"prompt_id": "p", "messages": [{"role": "user", "content": "x"}], **fields}
    with pytest.raises(Rejected) as caught:
        decode(StoredRecord("prompt-submitted", 0, 0, 0, None, json.dumps(body).encode(), ()), PromptSubmitted)
    assert str(caught.value) == told
