"""What one record says, as far as the checker needs it: whose it is, what it rests on, what it decides.

Bytes in, a `Fact` out; content stays behind as digests. Never raises: any bytes may lie on a topic.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

from pydantic_core import from_json

from libs.audit._path import COMPLETION_CLEARED, GENERATED, OUTCOME, kind_of, letters_of
from libs.bus import INPUT_HEADER, Record
from libs.bus.failures import salvage

_VARIES = re.compile(
    rb'"timings_ms":\{[^{}]*\},?|"created_at":"[^"]*",?|"sealed":"[^"]*",?|"submitted_at":"[^"]*",?|"score":[0-9.e+-]+,?'
)
"""What may differ when the same thing is decided twice. An escaped quote keeps it from matching inside a text."""


class Place(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Fact:
    """One record without its content. An empty `prompt_id`: no prompt can be read from it."""

    place: Place
    kind: str | None
    """The event's type; None for a dead letter."""
    tenant: str
    prompt_id: str
    timestamp: int
    """Milliseconds since the epoch."""
    id: bytes
    """Digest of the CloudEvents id, or of the place where there is none."""
    source: str
    cause: Place | None
    """What it rests on; of a dead letter, the record it was."""
    key: bytes
    body: bytes
    """Digest of the value."""
    decision: bytes
    """The same without times, seals and scores."""
    status: str = ""
    """Of an outcome its status, of a completion `cached` or `generated`."""
    agrees: bool | None = None
    """Of an answer, whether it says what was cleared; of a clearance, whether of what was generated. None: unknown."""

    def but(self, *, agrees: bool | None) -> "Fact":
        """The same, its text compared."""
        return replace(self, agrees=agrees)


def fact_of(record: Record) -> tuple[Fact, dict[str, Any]]:
    """The record's fact, and its body where that is a JSON object."""
    body = _object(record.value)
    place = Place(record.topic, record.partition, record.offset)
    tenant, prompt_id = _identity(record, body)
    headers = _headers(record)
    value = record.value or b""
    kind = kind_of(record.topic)
    fact = Fact(
        place,
        kind,
        tenant,
        prompt_id,
        record.timestamp,
        _digest(headers.get("ce_id") or str(place).encode()),
        _source(headers.get("ce_source")),
        _letter_cause(headers) if letters_of(record.topic) else _cause(headers.get(INPUT_HEADER)),
        _digest(record.key or b"", 8),
        _digest(value),
        _digest(_VARIES.sub(b"", value)),
        _status(kind, body),
    )
    return fact, body


def _digest(value: bytes, size: int = 16) -> bytes:
    return blake2b(value, digest_size=size).digest()


def _object(value: bytes | None) -> dict[str, Any]:
    try:
        found = from_json(value or b"")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _identity(record: Record, body: dict[str, Any]) -> tuple[str, str]:
    """As the delivery core salvages it, so that a record that is no valid event still belongs to its prompt."""
    tenant, prompt_id = body.get("tenant", "default"), body.get("prompt_id")
    if isinstance(prompt_id, str) and isinstance(tenant, str) and _plain(prompt_id, 128) and _plain(tenant, 64):
        return tenant, prompt_id
    found = salvage(record)
    return (str(found["tenant"]), str(found["prompt_id"])) if found else ("", "")


def _plain(text: str, limit: int) -> bool:
    return 0 < len(text) <= limit and text.isascii() and text.replace("-", "").replace("_", "").isalnum()


def _headers(record: Record) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, value in record.headers:
        found.setdefault(name, value or b"")
    return found


@lru_cache(maxsize=64)
def _source(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace").removeprefix("/tailrace/")[:64]


def _cause(value: bytes | None) -> Place | None:
    parts = (value or b"").decode(errors="replace").rsplit("/", 2)
    return _place(*parts) if len(parts) == 3 else None


def _letter_cause(headers: dict[str, bytes]) -> Place | None:
    topic, partition, offset = (
        headers.get(f"dlq_{name}", b"").decode(errors="replace") for name in ("topic", "partition", "offset")
    )
    return _place(topic, partition, offset)


def _place(topic: str, partition: str, offset: str) -> Place | None:
    if not all(number.isascii() and number.isdigit() and len(number) < 19 for number in (partition, offset)):
        return None
    return Place(topic, int(partition), int(offset))


def _status(kind: str | None, body: dict[str, Any]) -> str:
    if kind == OUTCOME:
        return str(body.get("status", ""))[:16]
    if kind in (GENERATED, COMPLETION_CLEARED):
        return "cached" if body.get("cached") is True else "generated"
    return ""
