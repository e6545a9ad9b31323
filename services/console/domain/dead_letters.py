"""A dead letter: the record as it was, why it was given up, and how it goes back to where it came from."""

import re
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from libs.bus import Outgoing, Record, header
from libs.bus.failures import salvage
from schemas.topics import MAX_MESSAGE_BYTES, topic_named
from services.console.domain.addresses import Address
from services.console.domain.errors import ConsoleError

_CUT_AT = MAX_MESSAGE_BYTES - 64 * 1024
"""The delivery core cuts a body of this size or more, so such a dead letter is not the record it came from."""


class DeadLetter(BaseModel):
    """What can be said of a dead letter without its content."""

    model_config = ConfigDict(frozen=True)

    address: str
    """`TOPIC/PARTITION/OFFSET` in the dead letter topic."""
    origin: str
    """The same of the record it was."""
    code: str
    reason: str
    stage: str
    attempts: int
    time: datetime | None
    key: str | None
    prompt_id: str | None
    size: int | None
    """Bytes of the body; None for a null value."""


def describe(record: Record) -> DeadLetter:
    """Reads the reason and the origin from the headers."""
    found = salvage(record) or {}
    topic = _text(record, "dlq_topic") or record.topic.removesuffix("-dlq")
    return DeadLetter(
        address=str(Address(record.topic, record.partition, record.offset)),
        origin=f"{topic}/{_text(record, 'dlq_partition')}/{_text(record, 'dlq_offset')}",
        code=_text(record, "dlq_code"),
        reason=_text(record, "dlq_reason"),
        stage=_text(record, "dlq_stage"),
        attempts=_number(_text(record, "dlq_attempts")) or 0,
        time=_time(_text(record, "dlq_time")),
        key=None if record.key is None else record.key.decode(errors="replace"),
        prompt_id=str(found["prompt_id"]) if found else None,
        size=None if record.value is None else len(record.value),
    )


def _text(record: Record, name: str) -> str:
    return (header(record, name) or b"").decode(errors="replace")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def matches(letter: DeadLetter, code: str | None, reason: str | None) -> bool:
    """Whether the letter has this code and its reason holds this text, each where asked for."""
    return (code is None or letter.code == code) and (reason is None or reason.lower() in letter.reason.lower())


def original(record: Record, body: bytes | None, partitions: int) -> Outgoing:
    """The record to write back: same topic, key, partition and headers, without the notes of its failure.

    `body` is the record's own or a mended one. Raises ConsoleError where the dead letter is not all of the record.
    """
    if body is not None and len(body) >= _CUT_AT:
        raise ConsoleError(f"its body was cut at {_CUT_AT} bytes; the whole of it is at {describe(record).origin}")
    topic = _text(record, "dlq_topic")
    if not topic or topic_named(record.topic).dead_letters_of != topic:
        raise ConsoleError('its header "dlq_topic" does not name the topic it came from, so it cannot be replayed')
    partition = _number(_text(record, "dlq_partition"))
    kept = tuple((name, value) for name, value in record.headers if not name.startswith("dlq_"))
    return Outgoing(
        topic, record.key, body, kept, partition if partition is not None and partition < partitions else None
    )


def shown_body(body: bytes | None) -> tuple[str, str]:
    """How to show a body: `("text", …)`, `("hex", …)` for what is no printable UTF-8, or `("null", "")`."""
    if body is None:
        return "null", ""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "hex", body.hex(" ", 2)
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text):
        return "hex", body.hex(" ", 2)
    return "text", text
