"""Deterministic event ids: doing a step twice yields the same id, and whoever receives it twice can tell.

Ids are UUIDs of version 5 (RFC 9562), computed on bytes: the standard library's objects cost several times as much,
and this runs once per record.
"""

from hashlib import sha1
from uuid import NAMESPACE_URL, uuid5

from libs.bus.records import Record

_NAMESPACE = uuid5(NAMESPACE_URL, "https://tailrace.dev/events").bytes


_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def _uuid5(namespace: bytes, name: str) -> str:
    text = sha1(namespace + name.encode(), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


def input_id(record: Record, ce_id: str | None) -> str:
    """The record's CloudEvents id, or one made of its place in the log where an upstream gave none."""
    return ce_id or _uuid5(_NAMESPACE, f"{record.topic}/{record.partition}/{record.offset}")


def _as_namespace(event_id: str) -> bytes:
    """A UUID's own bytes; an upstream's id of another form is hashed into one."""
    if len(event_id) == 36:
        try:
            return bytes.fromhex(event_id.replace("-", ""))
        except ValueError:
            pass
    return _uuid5(_NAMESPACE, event_id).encode()


def output_id(cause: str, stage: str, event_type: str, ordinal: int) -> str:
    """Id of the `ordinal`-th event of a type that `stage` writes because of the event `cause`."""
    name = f"{stage}/{event_type}" if ordinal == 0 else f"{stage}/{event_type}/{ordinal}"
    return _uuid5(_as_namespace(cause), name)
