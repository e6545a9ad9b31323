"""A dead letter: the record as it was, and why it was given up. What can be said of it without its content."""

import re
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from libs.bus import Record, header
from libs.bus.failures import salvage
from schemas.base import Shadow
from services.console.domain.addresses import Address


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
    tenant: str | None
    prompt_id: str | None
    shadow: str | None
    """The replay whose shadow it is; None: a prompt in its own right, or no prompt."""
    size: int | None
    """Bytes of the body; None for a null value."""
    replayed_from: str | None
    """The dead letter that was written back to be this record."""
    replayed: str | None = None
    """Where it was written back to; None: nowhere, as far as the topics tell."""

    @property
    def identity(self) -> tuple[str, str] | None:
        """Tenant and prompt id, where it is of a prompt."""
        return None if self.prompt_id is None or self.tenant is None else (self.tenant, self.prompt_id)

    @property
    def origin_topic(self) -> str:
        """Where it came from."""
        return self.origin.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters are meant. None: any. Times in milliseconds since the epoch."""

    topic: str | None = None
    """Of the dead letters."""
    stage: str | None = None
    code: str | None = None
    reason: str | None = None
    """A part of it, in any case."""
    tenant: str | None = None
    prompt_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    shadows: bool = False
    """Also those of shadows, which nobody waits for."""

    def holds(self, letter: DeadLetter) -> bool:
        """Whether the letter is one of them."""
        told = (
            (self.stage, letter.stage),
            (self.code, letter.code),
            (self.tenant, letter.tenant),
            (self.prompt_id, letter.prompt_id),
        )
        return (
            all(wanted is None or wanted == found for wanted, found in told)
            and (self.reason is None or self.reason.lower() in letter.reason.lower())
            and (self.until_ms is None or letter.time is None or letter.time.timestamp() * 1000 < self.until_ms)
            and (self.shadows or letter.shadow is None)
        )


def describe(record: Record) -> DeadLetter:
    """Reads the reason and the origin from the headers."""
    found = salvage(record) or {}
    shadow = found.get("shadow")
    topic = text_of(record, "dlq_topic") or record.topic.removesuffix("-dlq")
    return DeadLetter(
        address=str(Address(record.topic, record.partition, record.offset)),
        origin=f"{topic}/{text_of(record, 'dlq_partition')}/{text_of(record, 'dlq_offset')}",
        code=text_of(record, "dlq_code"),
        reason=text_of(record, "dlq_reason"),
        stage=text_of(record, "dlq_stage"),
        attempts=number_of(record, "dlq_attempts") or 0,
        time=_time(text_of(record, "dlq_time")),
        key=None if record.key is None else record.key.decode(errors="replace"),
        tenant=str(found["tenant"]) if found else None,
        prompt_id=str(found["prompt_id"]) if found else None,
        shadow=shadow.run if isinstance(shadow, Shadow) else None,
        size=None if record.value is None else len(record.value),
        replayed_from=text_of(record, REPLAYED_FROM_HEADER) or None,
    )


REPLAYED_FROM_HEADER = "replayed_from"
"""On a record that was written back: the address of its dead letter. Kept when it is given up again."""


def text_of(record: Record, name: str) -> str:
    """A header as text; empty where there is none."""
    return (header(record, name) or b"").decode(errors="replace")


def number_of(record: Record, name: str) -> int | None:
    """A header as a number that is not negative."""
    text = text_of(record, name)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


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
