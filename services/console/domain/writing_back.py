"""How a dead letter goes back: the record as it was, ids and all, or asked anew under an id made of its own.

An id that has its outcome gets no second one, so a mended prompt that was refused or failed is answered under a new
id only. That id follows from the dead letter: asked anew twice, it is still one prompt.
"""

import hashlib
import json
from dataclasses import replace

from libs.bus import REPLY_TO_HEADER, Outgoing, Record, Rejected, StoredRecord, read_envelope
from libs.bus.failures import salvage
from libs.bus.records import Header, headers_size
from schemas.topics import MAX_MESSAGE_BYTES, topic_named
from services.console.domain.addresses import Address
from services.console.domain.dead_letters import REPLAYED_FROM_HEADER, number_of, text_of
from services.console.domain.errors import ConsoleError

_CUT_AT = MAX_MESSAGE_BYTES - 64 * 1024
"""The delivery core cuts a letter to this size, headers included: one of it is not the record it came from."""


def record_it_was(letter: Record) -> Record:
    """The record as its topic had it, with its place there. Raises ConsoleError where the letter is not all of it."""
    if len(letter.key or b"") + len(letter.value or b"") + headers_size(letter.headers) >= _CUT_AT:
        raise ConsoleError(f"its body was cut at {_CUT_AT} bytes; the whole of it is at {_origin(letter)}")
    topic = text_of(letter, "dlq_topic")
    if not topic or topic_named(letter.topic).dead_letters_of != topic:
        raise ConsoleError('its header "dlq_topic" does not name the topic it came from, so it cannot be replayed')
    partition, offset = number_of(letter, "dlq_partition"), number_of(letter, "dlq_offset")
    if partition is None or offset is None:
        raise ConsoleError(f"its headers name {_origin(letter)} as its place, which cannot be; it cannot be replayed")
    kept = tuple((name, value) for name, value in letter.headers if not name.startswith("dlq_"))
    return StoredRecord(topic, partition, offset, letter.timestamp, letter.key, letter.value, kept)


def _origin(letter: Record) -> str:
    return f"{text_of(letter, 'dlq_topic')}/{text_of(letter, 'dlq_partition')}/{text_of(letter, 'dlq_offset')}"


def written_back(base: Record, body: bytes | None, letter: Address, partitions: int) -> Outgoing:
    """The record to write: key, partition and headers of `base`, and a note of the letter it was.

    Its event id is kept, also where it followed from its place in the log. A body that names another prompt is an
    event of its own: nobody waits for it on `reply`.
    """
    headers = [(name, value) for name, value in base.headers if name != REPLAYED_FROM_HEADER]
    key = base.key
    before, after = identity_of(base, base.value), identity_of(base, body)
    if before == after:
        headers = _with_id(headers, _event_id(base))
    else:
        headers = [(name, value) for name, value in headers if name != REPLY_TO_HEADER]
        headers = _with_id(headers, f"replay/{letter}/{hashlib.sha256(body or b'').hexdigest()[:16]}")
        key = after[1].encode() if before and after and key == before[1].encode() else key
    noted = (*headers, (REPLAYED_FROM_HEADER, str(letter).encode()))
    return Outgoing(base.topic, key, body, noted, base.partition if base.partition < partitions else None)


def asked_anew(body: bytes | None, letter: Address) -> bytes:
    """The body under a prompt id that follows from the letter. Raises ConsoleError where it names no prompt."""
    try:
        document = json.loads(body or b"")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("prompt_id"), str):
        raise ConsoleError('its body is no JSON object with a "prompt_id"; mend it first (--edit, --body)')
    document["prompt_id"] = derived_id(document["prompt_id"], letter)
    return json.dumps(document, ensure_ascii=False).encode(errors="replace")


def derived_id(prompt_id: str, letter: Address) -> str:
    """`<prompt id>~<8 hex digits>`, at most 128 characters."""
    return f"{prompt_id[:119]}~{hashlib.sha256(str(letter).encode()).hexdigest()[:8]}"


def identity_of(base: Record, body: bytes | None) -> tuple[str, str] | None:
    """Tenant and prompt id that the record would name with this body."""
    found = salvage(replace(_stored(base), value=body))
    return None if found is None else (str(found["tenant"]), str(found["prompt_id"]))


def _event_id(base: Record) -> str | None:
    try:
        return read_envelope(base).id
    except Rejected:
        # A header that cannot be read is for its reader to judge.
        return None


def _with_id(headers: list[Header], event_id: str | None) -> list[Header]:
    if event_id is None:
        return headers
    return [("ce_id", event_id.encode()), *((name, value) for name, value in headers if name != "ce_id")]


def _stored(record: Record) -> StoredRecord:
    return StoredRecord(
        record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, tuple(record.headers)
    )
