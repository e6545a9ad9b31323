"""Bad input at the door, on the real broker: each piece ends somewhere, and the next good prompt is accepted.

One ingestion runs for the whole module. Each case writes its record and then a good one to the same partition.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from infra.kafka import ensure_topics
from libs.bus import Record, header
from libs.bus.kafka import KafkaBus
from libs.service import Runtime
from libs.settings import BusSettings, ServiceSettings
from libs.telemetry import Traces, configure_metrics
from schemas.base import Event
from schemas.documents import DocumentAccepted, DocumentRefused
from schemas.prompts import PromptAccepted, PromptFailed, PromptRefused
from schemas.topics import CATALOGUE, topic_of
from services.ingestion.app import create_app
from tests.support.bus_bench import eventually

HI = [{"role": "user", "content": "hi"}]
OUTCOMES = ("prompt-accepted", "prompt-refused", "prompt-failed", "document-accepted", "document-refused",
            "prompt-submitted-dlq", "document-submitted-dlq")  # fmt: skip
Headers = Sequence[tuple[str, bytes | None]]


@dataclass
class Door:
    """A running ingestion and a way to talk to it. What was read of its outputs is not read again."""

    bus: KafkaBus
    settings: BusSettings
    read: dict[str, int] = field(default_factory=dict)

    async def send(self, value: bytes | None, headers: Headers = (), *, topic: str = "prompt-submitted",
                   key: bytes | None = b"k", odd_header_name: bool = False) -> None:  # fmt: skip
        """Writes one record as it is, whatever it is, to partition 0."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.settings.bootstrap_servers, max_batch_size=4_000_000, max_request_size=4_000_000
        ) as producer:
            batch = producer.create_batch()
            assert batch.append(key=key, value=value, timestamp=None, headers=list(headers))
            if odd_header_name:
                _spoil(batch._build())
            await (await producer.send_batch(batch, self.settings.topic_prefix + topic, partition=0))

    async def new(self, topic: str) -> list[Record]:
        """Records of the topic that nobody has read yet."""
        found = [record async for record in self.bus.read(topic, 0, start=self.read.get(topic, 0))]
        if found:
            self.read[topic] = found[-1].offset + 1
        return found

    async def settled(self, event: type[Event] = PromptAccepted) -> dict[str, list[Record]]:
        """What came of all that was sent: a good prompt (or document) sent now is accepted after it."""
        name, topic = uuid.uuid4().hex, "prompt-submitted"
        body: dict[str, object] = {"prompt_id": name, "messages": HI}
        if event is DocumentAccepted:
            topic, body = "document-submitted", {"document_id": name, "content": "hi"}
        await self.send(json.dumps(body).encode(), topic=topic, key=name.encode())
        accepted: list[Record] = []
        async with asyncio.timeout(30):
            while not accepted or accepted[-1].key != name.encode():
                accepted += await self.new(topic_of(event).name)
        found = {topic: await self.new(topic) for topic in OUTCOMES}
        return {**found, topic_of(event).name: accepted[:-1]}


def _spoil(raw: bytearray) -> None:
    """Makes the header name `zz` of a batch two bytes that are no UTF-8, and the batch's checksum right again."""
    at = raw.index(b"zz")
    raw[at : at + 2] = b"\xff\xfe"
    raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")


@pytest.fixture(scope="module")
async def door(shared_broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    settings = BusSettings(
        bootstrap_servers=shared_broker, topic_prefix=f"t{uuid.uuid4().hex[:12]}-", topic_partitions=1
    )
    await ensure_topics(settings, [replace(t, name=settings.topic_prefix + t.name) for t in CATALOGUE])
    bus = KafkaBus(settings, client_id="test")
    metrics, provider = configure_metrics("ingestion", 0, None)
    ready = tmp_path_factory.mktemp("door") / "ready.json"
    stop = asyncio.Event()
    runtime = Runtime(bus, metrics, Traces(None), ServiceSettings(ready_file=ready))
    running = asyncio.create_task(create_app(bus_settings=settings).run_on(runtime, stop))
    await eventually(lambda: ready.exists() or running.done())
    yield Door(bus, settings)
    stop.set()
    await running
    await bus.close()
    provider.shutdown()


@pytest.fixture
def name() -> str:
    """A prompt id (or document id) no other test has used."""
    return uuid.uuid4().hex


def prompt(name: str, **more: object) -> bytes:
    return json.dumps({"prompt_id": name, "messages": HI, **more}).encode()


def with_parameter(name: str, text: str) -> bytes:
    return prompt(name).replace(b"}]", b'}], "parameters": {' + text.encode() + b"}")


BODIES: dict[str, Callable[[str], bytes]] = {
    "JSON cut short": lambda n: prompt(n)[:-3],
    "an unknown field": lambda n: prompt(n, temprature=1),
    "an unknown field in a message": lambda n: prompt(n, messages=[{**HI[0], "name": "x"}]),
    "a lone surrogate in the content": lambda n: prompt(n, messages=[{"role": "user", "content": "\ud800"}]),
    "a lone surrogate in the conversation": lambda n: prompt(n, conversation_id="\udfff"),
    "JSON nested without end": lambda n: prompt(n)[:-1] + b', "x": ' + b"[" * 200_000,
    "JSON nested deeply": lambda n: prompt(n)[:-1] + b', "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a huge integer": lambda n: with_parameter(n, '"seed": ' + "9" * 400),
    "an integer of ten thousand digits": lambda n: with_parameter(n, '"seed": ' + "9" * 10_000),
    "a huge float": lambda n: with_parameter(n, '"temperature": 1e999'),
    "not a number": lambda n: with_parameter(n, '"temperature": NaN'),
    "no messages": lambda n: prompt(n, messages=[]),
    "messages of another type": lambda n: prompt(n, messages="hi"),
    "a last message that is not the user's": lambda n: prompt(n, messages=[{"role": "assistant", "content": "x"}]),
    "a deadline without a zone": lambda n: prompt(n, deadline="2099-01-01T00:00:00"),
    "a tenant of another form": lambda n: prompt(n, tenant="../etc"),
    "a byte order mark": lambda n: b"\xef\xbb\xbf" + prompt(n),
    "UTF-16": lambda n: prompt(n).decode().encode("utf-16"),
    "bytes that are no UTF-8": lambda n: prompt(n).replace(b"hi", b"\xff"),
}


@pytest.mark.parametrize("case", BODIES)
async def test_a_malformed_prompt_is_a_dead_letter_and_refused(door: Door, name: str, case: str) -> None:
    body = BODIES[case](name)
    await door.send(body, [("reply_to", b"3"), ("mine", b"kept")])
    came = await door.settled()
    [letter] = came["prompt-submitted-dlq"]
    assert letter.value == body
    assert header(letter, "mine") == b"kept"
    assert header(letter, "dlq_code") == b"invalid_request"
    refused = PromptRefused.model_validate_json(came["prompt-refused"][0].value or b"")
    assert (refused.prompt_id, refused.reply_to, refused.reason.code) == (name, 3, "invalid_request")
    assert refused.reason.message
    assert came["prompt-accepted"] == came["prompt-failed"] == []


HEADERS: dict[str, tuple[Headers, str]] = {
    "an unknown version": ([("ce_type", b"tailrace.prompt-submitted.v9")], "unknown version"),
    "the type of another event": ([("ce_type", b"tailrace.prompt-accepted.v1")], "ce_type"),
    "a type that is no UTF-8": ([("ce_type", b"\xff\xfe")], "not valid UTF-8"),
    "an id that is no UTF-8": ([("ce_id", b"\xff")], "not valid UTF-8"),
    "an id beyond all measure": ([("ce_id", b"x" * 100_000)], "limit"),
    "another content type": ([("content-type", b"text/plain")], "application/json"),
    "a reply address that is no number": ([("reply_to", b"me")], "0 to 15"),
    "a reply address that no partition has": ([("reply_to", b"16")], "0 to 15"),
}


@pytest.mark.parametrize("case", HEADERS)
async def test_a_prompt_with_wrong_headers_is_a_dead_letter_and_refused(door: Door, name: str, case: str) -> None:
    headers, told = HEADERS[case]
    await door.send(prompt(name), headers)
    came = await door.settled()
    assert len(came["prompt-submitted-dlq"]) == 1
    refused = PromptRefused.model_validate_json(came["prompt-refused"][0].value or b"")
    assert (refused.prompt_id, refused.reply_to) == (name, None)
    assert told in refused.reason.message


UNREADABLE: dict[str, bytes | None] = {
    "null": None,
    "nothing": b"",
    "no JSON at all": b"\xff\xfe\x00",
    "an array": b"[]",
    "a string": b'"prompt_id"',
    "a number without end": b"9" * 10_000,
    "no prompt id": b'{"messages": []}',
    "a prompt id of another type": b'{"prompt_id": 7}',
    "an empty prompt id": b'{"prompt_id": "", "messages": []}',
    "a prompt id that no key can hold": b'{"prompt_id": "\\ud800", "messages": []}',
    "a prompt id that is too long": prompt("x" * 129),
}


@pytest.mark.parametrize("key", [b"k", None], ids=["keyed", "unkeyed"])
@pytest.mark.parametrize("case", UNREADABLE)
async def test_a_record_without_a_readable_id_is_a_dead_letter(door: Door, case: str, key: bytes | None) -> None:
    await door.send(UNREADABLE[case], [("reply_to", None), ("ce_id", None)], key=key)
    came = await door.settled()
    [letter] = came.pop("prompt-submitted-dlq")
    assert header(letter, "dlq_reason")
    assert not any(came.values())


async def test_a_body_of_two_megabytes_is_refused_as_too_long(door: Door, name: str) -> None:
    await door.send(prompt(name, messages=[{"role": "user", "content": "x" * 2_000_000}]))
    came = await door.settled()
    assert header(came["prompt-submitted-dlq"][0], "dlq_code") == b"too_long"
    refused = PromptRefused.model_validate_json(came["prompt-refused"][0].value or b"")
    assert (refused.prompt_id, refused.reason.code) == (name, "too_long")


async def test_a_record_as_large_as_the_broker_takes_is_a_dead_letter_too(door: Door, name: str) -> None:
    await door.send(prompt(name) + b" " * 3_900_000, [("large", b"h" * 60_000)])
    came = await door.settled()
    assert len(came["prompt-submitted-dlq"]) == 1
    assert len(came["prompt-refused"]) == 1


async def test_a_header_name_that_is_no_utf_8_harms_nothing(door: Door, name: str) -> None:
    await door.send(prompt(name), [("zz", b"value")], odd_header_name=True)
    came = await door.settled()
    assert [record.key for record in came["prompt-accepted"]] == [name.encode()]
    assert came["prompt-submitted-dlq"] == []


@pytest.mark.parametrize(
    "more",
    [
        {"metadata": {"nul": "\x00"}, "messages": [{"role": "user", "content": "a\x00b"}]},
        {"parameters": {"response_format": {"type": "json_schema", "json_schema": {"schema": {"maximum": 10**30}}}}},
        {"conversation_id": "\x00"},
        {"conversation_id": "\u202e\U0001f600" * 64},
    ],
)
async def test_odd_but_legal_prompts_are_accepted(door: Door, name: str, more: dict[str, object]) -> None:
    await door.send(prompt(name, **more), [("traceparent", b"nonsense"), ("tracestate", b"x")])
    [record] = (await door.settled())["prompt-accepted"]
    accepted = PromptAccepted.model_validate_json(record.value or b"")
    assert accepted.prompt_id == name
    assert "\x00" not in accepted.messages[0].content
    assert header(record, "traceparent") is None
    assert header(record, "tracestate") is None


async def test_of_duplicated_keys_the_last_one_counts_for_all_readers(door: Door, name: str) -> None:
    await door.send(b'{"prompt_id": "other", ' + prompt(name)[1:])
    [accepted] = (await door.settled())["prompt-accepted"]
    assert accepted.key == name.encode()
    await door.send(b'{"prompt_id": "other", ' + prompt(name, typo=1)[1:])
    [refused] = (await door.settled())["prompt-refused"]
    assert refused.key == name.encode()


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"messages": [{"role": "user", "content": "word " * 7_000}]}, "too_long"),
        ({"messages": [{"role": "user", "content": "x" * 64_001}]}, "too_long"),
        ({"messages": [{"role": "user", "content": "\x00\x07 "}]}, "invalid_request"),
        ({"parameters": {"max_completion_tokens": 2_049}}, "invalid_request"),
    ],
)
async def test_a_well_formed_prompt_beyond_the_limits_is_refused_without_a_dead_letter(
    door: Door, name: str, more: dict[str, object], code: str
) -> None:
    await door.send(prompt(name, **more), [("reply_to", b"0")])
    came = await door.settled()
    refused = PromptRefused.model_validate_json(came["prompt-refused"][0].value or b"")
    assert (refused.prompt_id, refused.reply_to, refused.reason.code) == (name, 0, code)
    assert refused.fingerprint
    assert came["prompt-submitted-dlq"] == []


async def test_a_deadline_in_the_past_fails_the_prompt(door: Door, name: str) -> None:
    await door.send(prompt(name, deadline="2020-01-01T00:00:00Z"))
    [record] = (await door.settled())["prompt-failed"]
    failed = PromptFailed.model_validate_json(record.value or b"")
    assert (failed.prompt_id, failed.reason.code) == (name, "deadline_exceeded")


def document(name: str, **more: object) -> bytes:
    return json.dumps({"document_id": name, **more}).encode()


DOCUMENTS: dict[str, tuple[Callable[[str], bytes], str]] = {
    "JSON cut short": (lambda n: b'{"document_id": "' + n.encode() + b'", "content": "x', "invalid_request"),
    "an unknown field": (lambda n: document(n, content="x", typo=1), "invalid_request"),
    "no content": (document, "invalid_request"),
    "two contents": (lambda n: document(n, content="x", content_base64="eA=="), "invalid_request"),
    "broken base64": (lambda n: document(n, content_base64="x"), "invalid_request"),
    "content of a deleted one": (lambda n: document(n, content="x", deleted=True), "invalid_request"),
    "an unknown media type": (lambda n: document(n, content="x", media_type="text/rtf"), "invalid_request"),
    "two megabytes": (lambda n: document(n, content="x" * 2_000_000), "too_long"),
}


@pytest.mark.parametrize("case", DOCUMENTS)
async def test_a_malformed_document_is_a_dead_letter_and_refused(door: Door, name: str, case: str) -> None:
    make, code = DOCUMENTS[case]
    await door.send(make(name), topic="document-submitted")
    came = await door.settled(DocumentAccepted)
    assert len(came["document-submitted-dlq"]) == 1
    refused = DocumentRefused.model_validate_json(came["document-refused"][0].value or b"")
    assert (refused.document_id, refused.reason.code) == (name, code)


async def test_a_document_beyond_the_limit_is_refused_without_a_dead_letter(door: Door, name: str) -> None:
    await door.send(document(name, content="x" * 950_000), topic="document-submitted")
    came = await door.settled(DocumentAccepted)
    refused = DocumentRefused.model_validate_json(came["document-refused"][0].value or b"")
    assert (refused.document_id, refused.reason.code) == (name, "too_long")
    assert came["document-submitted-dlq"] == []


@pytest.mark.parametrize("body", [None, b"", b"\xff", b"[]", b'{"document_id": 7}'])
async def test_a_document_without_a_readable_id_is_a_dead_letter(door: Door, body: bytes | None) -> None:
    await door.send(body, topic="document-submitted")
    came = await door.settled(DocumentAccepted)
    assert len(came["document-submitted-dlq"]) == 1
    assert came["document-refused"] == []
