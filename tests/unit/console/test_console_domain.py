"""The console's rules: batch lines, documents, addresses, spans of time, dead letters."""

import base64
import json
import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath

import pytest

from libs.bus import Failure, Outgoing, StoredRecord
from libs.bus.failures import dead_letter
from schemas.topics import MAX_MESSAGE_BYTES
from services.console.adapters.results import ResultFile
from services.console.domain.addresses import Address, read_address
from services.console.domain.batch import Line, Refusal, read_line
from services.console.domain.dead_letters import describe, shown_body
from services.console.domain.documents import document_of, media_type_of
from services.console.domain.errors import ConsoleError
from services.console.domain.spans import read_span, since_ms
from services.console.domain.writing_back import record_it_was, written_back
from services.console.handlers.batch import plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def prompt_line(text: str = "hello", **fields: object) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}], **fields}).encode()


def a_dead_letter(value: bytes | None = b"{}", **changes: object) -> StoredRecord:
    came = StoredRecord("prompt-submitted", 1, 7, 0, b"c-1", value, (("ce_id", b"x"), ("odd", b"\xff")))
    out = dead_letter(came, Failure("invalid_request", "the body is wrong", "ingestion", True), now=NOW)
    headers = tuple((k, v) for k, v in {**dict(out.headers), **changes}.items() if isinstance(v, bytes))
    return StoredRecord(out.topic, 0, 3, 0, out.key, out.value, headers)


def test_a_line_without_an_id_gets_the_same_one_each_time_and_another_for_another_line() -> None:
    first, again, other = (read_line(n, prompt_line()) for n in (1, 1, 2))
    assert isinstance(first, Line)
    assert first.prompt_id == again.prompt_id
    assert first.prompt_id != other.prompt_id
    assert read_line(1, prompt_line(), label="second try").prompt_id != first.prompt_id


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b'{"messages": [', "line 7: the line is not a JSON object"),
        (b"[1]", "line 7: the line is not a JSON object"),
        (b'{"a": "\xff"}', "byte 8 is not UTF-8"),
        (prompt_line(temprature=1), 'unknown field "temprature"'),
        (b"{}", 'required field "messages" is missing'),
        (b'{"messages":[{"role":"user","content":"\\ud800"}]}', "line 7: "),
        (b"[" * 100_000, "line 7: "),
    ],
)
def test_a_malformed_line_is_refused_with_its_number_and_the_reason(raw: bytes, told: str) -> None:
    refusal = read_line(7, raw)
    assert isinstance(refusal, Refusal)
    assert told in refusal.message
    assert refusal.code == "invalid_request"


def test_a_refused_line_keeps_its_own_id_where_one_can_be_read() -> None:
    assert read_line(1, b'{"prompt_id": "mine", "messages": []}').prompt_id == "mine"
    assert read_line(1, b'{"prompt_id": 5, "messages": []}').prompt_id.startswith("line-1-")


def test_a_line_too_large_for_an_event_is_refused_as_too_long() -> None:
    refusal = read_line(1, prompt_line("x" * 1_100_000))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "too_long"


def test_a_plan_of_ten_thousand_long_lines_holds_their_ids_and_not_their_text(tmp_path: Path) -> None:
    def lines() -> Iterable[tuple[int, bytes]]:
        return ((n, prompt_line("x" * 2_000, prompt_id=f"p-{n}")) for n in range(1, 10_001))

    with ResultFile(tmp_path / "out.jsonl", resume=False) as results:
        tracemalloc.start()
        found = plan(lines, "", results)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert found.total == 10_000
    assert len(found.lines) == 10_000
    assert peak < 8_000_000


@pytest.mark.parametrize(("text", "span"), [("90s", timedelta(seconds=90)), ("2d", timedelta(days=2))])
def test_a_span_of_time_is_read(text: str, span: timedelta) -> None:
    assert read_span(text) == span


@pytest.mark.parametrize("text", ["", "1", "h", "1w", "-1h", "1.5h"])
def test_what_is_no_span_of_time_is_an_error_that_shows_how_to_write_one(text: str) -> None:
    with pytest.raises(ConsoleError, match="90s, 15m, 1h or 2d"):
        read_span(text)


def test_an_address_is_read_as_it_is_shown_also_under_the_topic_of_origin() -> None:
    address = Address("prompt-submitted-dlq", 1, 42)
    assert read_address(str(address)) == address
    assert read_address("prompt-submitted/1/42") == address


@pytest.mark.parametrize("text", ["prompt-submitted-dlq", "prompt-submitted-dlq/x/1", "nothing/0/0", "reply/0/0"])
def test_what_is_no_address_of_a_dead_letter_is_an_error(text: str) -> None:
    with pytest.raises(ConsoleError):
        read_address(text)


def test_a_suffix_says_the_media_type() -> None:
    assert media_type_of(PurePath("a/README.MD")) == "text/markdown"
    assert media_type_of(PurePath("a.py")) is None


def test_a_pdf_travels_as_base64_and_text_as_text() -> None:
    pdf = document_of("a.pdf", "application/pdf", b"%PDF-\xff", "default", "c")
    assert pdf.content is None
    assert base64.b64decode(pdf.content_base64 or "") == b"%PDF-\xff"
    assert document_of("a.md", "text/markdown", b"\xef\xbb\xbf# T", "default", "c").content == "# T"


@pytest.mark.parametrize(
    ("content", "told"), [(b"", "empty"), (b"ab\xff", "byte 3 is not UTF-8"), (b"x" * 1_100_000, "split")]
)
def test_a_file_that_cannot_be_sent_says_why(content: bytes, told: str) -> None:
    with pytest.raises(ConsoleError, match=told):
        document_of("a.txt", "text/plain", content, "default", "c")


def test_a_dead_letter_tells_its_reason_its_origin_and_its_prompt() -> None:
    letter = describe(a_dead_letter(b'{"prompt_id": "p-1", "messages": 5}'))
    assert (letter.address, letter.origin) == ("prompt-submitted-dlq/0/3", "prompt-submitted/1/7")
    assert (letter.code, letter.reason, letter.stage) == ("invalid_request", "the body is wrong", "ingestion")
    assert (letter.prompt_id, letter.key, letter.time) == ("p-1", "c-1", NOW)


def back(letter: StoredRecord, body: bytes | None = b"{}", partitions: int = 2) -> Outgoing:
    return written_back(record_it_was(letter), body, Address(letter.topic, letter.partition, letter.offset), partitions)


def test_a_replayed_record_is_the_one_that_was_given_up_and_says_which_letter_it_was() -> None:
    out = back(a_dead_letter())
    assert (out.topic, out.partition, out.key, out.value) == ("prompt-submitted", 1, b"c-1", b"{}")
    assert out.headers == (("ce_id", b"x"), ("odd", b"\xff"), ("replayed_from", b"prompt-submitted-dlq/0/3"))


def test_a_replay_to_a_topic_with_fewer_partitions_leaves_the_choice_to_the_key() -> None:
    assert back(a_dead_letter(), partitions=1).partition is None


def test_a_dead_letter_that_is_not_all_of_its_record_is_not_replayed() -> None:
    with pytest.raises(ConsoleError, match="cut at"):
        record_it_was(a_dead_letter(b"x" * (MAX_MESSAGE_BYTES - 64 * 1024)))
    with pytest.raises(ConsoleError, match="does not name the topic"):
        record_it_was(a_dead_letter(dlq_topic=b"response-ready"))
    with pytest.raises(ConsoleError, match="which cannot be"):
        record_it_was(a_dead_letter(dlq_offset=b"-4"))


@pytest.mark.parametrize(
    ("body", "form"), [(None, "null"), (b"\xff\x00", "hex"), (b"a\x00b", "hex"), ("zwölf\n".encode(), "text")]
)
def test_a_body_is_shown_as_text_or_as_hex(body: bytes | None, form: str) -> None:
    assert shown_body(body)[0] == form


def test_a_span_since_then_ends_now() -> None:
    now = datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert since_ms("1h", now) == int(datetime(2026, 1, 31, 9, tzinfo=UTC).timestamp() * 1000)
