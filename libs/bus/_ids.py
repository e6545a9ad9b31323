"""Deterministic event ids: doing a step twice yields the same id, and whoever receives it twice can tell."""

from functools import lru_cache
from uuid import NAMESPACE_URL, UUID, uuid5

from libs.bus.records import Record

_NAMESPACE = uuid5(NAMESPACE_URL, "https://tailrace.dev/events")


def input_id(record: Record, ce_id: str | None) -> str:
    """The record's CloudEvents id, or one made of its place in the log where an upstream gave none."""
    return ce_id or str(uuid5(_NAMESPACE, f"{record.topic}/{record.partition}/{record.offset}"))


@lru_cache(maxsize=4096)
def _as_namespace(event_id: str) -> UUID:
    try:
        return UUID(event_id)
    except ValueError:
        return uuid5(_NAMESPACE, event_id)


def output_id(cause: str, stage: str, event_type: str, ordinal: int) -> str:
    """Id of the `ordinal`-th event of a type that `stage` writes because of the event `cause`."""
    name = f"{stage}/{event_type}" if ordinal == 0 else f"{stage}/{event_type}/{ordinal}"
    return str(uuid5(_as_namespace(cause), name))
