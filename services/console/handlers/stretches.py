"""A stretch of history: the prompts of a range of a topic, and what of the range is gone."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.bus import Bus
from libs.bus.records import written_at
from schemas.responses import ResponseReady
from schemas.topics import topic_named, topic_of
from services.console.domain.comparison import Side, side_of
from services.console.domain.outcomes import Identity
from services.console.domain.shadows import Original, read_original

Bound = int | datetime | None
"""An offset of each partition, a time, or the end that the topic has."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which prompts are meant: the oldest `limit` from `start` up to, and without, `end`."""

    topic: str
    start: Bound = None
    end: Bound = None
    tenant: str | None = None
    limit: int = 1000


async def originals(bus: Bus, stretch: Stretch) -> tuple[list[Original], list[str]]:
    """The prompts, oldest first, each once; and in words what of the range retention has removed."""
    found: dict[Identity, Original] = {}
    gone: list[str] = []
    oldest = await bus.start_offsets(stretch.topic)
    for partition, end in sorted((await bus.end_offsets(stretch.topic)).items()):
        first = await _read(bus, stretch, partition, oldest[partition], end, found)
        gone += _gone(stretch, partition, oldest[partition], first)
    return _oldest(found, stretch.limit), gone


async def _read(
    bus: Bus, stretch: Stretch, partition: int, oldest: int, end: int, found: dict[Identity, Original]
) -> datetime | None:
    """Adds the partition's prompts; when the first record of the range was written."""
    start = max(stretch.start, oldest) if isinstance(stretch.start, int) else None
    since = int(stretch.start.timestamp() * 1000) if isinstance(stretch.start, datetime) else None
    last = min(stretch.end, end) if isinstance(stretch.end, int) else end
    first: datetime | None = None
    if (start or oldest) >= last:
        return None
    async for record in bus.read(stretch.topic, partition, start=start, since_ms=since, end=last):
        first = first or written_at(record)
        if isinstance(stretch.end, datetime) and written_at(record) >= stretch.end:
            continue
        original = read_original(record)
        if original is not None and stretch.tenant in (None, original.identity[0]):
            found.setdefault(original.identity, original)
        if len(found) > 2 * stretch.limit:
            kept = _oldest(found, stretch.limit)
            found.clear()
            found.update({it.identity: it for it in kept})
    return first


def _oldest(found: dict[Identity, Original], limit: int) -> list[Original]:
    return sorted(found.values(), key=lambda it: (it.submitted_at, it.place))[:limit]


def _gone(stretch: Stretch, partition: int, oldest: int, first: datetime | None) -> list[str]:
    if oldest == 0:
        return []
    kept = timedelta(milliseconds=topic_named(stretch.topic).retention_ms)
    place = f"{stretch.topic}/{partition}"
    if isinstance(stretch.start, int):
        lost = stretch.start < oldest
        return [f"{place}: offsets {stretch.start} to {oldest - 1} are gone (it keeps {kept})"] if lost else []
    since = f"what was written before {first.isoformat(timespec='seconds')}" if first else "all of the range"
    if first is not None and stretch.start is not None and (first - stretch.start) < timedelta(0):
        return []
    return [f"{place}: {since} may be gone, {oldest} records are (it keeps {kept})"]


async def history_of(bus: Bus, found: list[Original], topic: str) -> dict[Identity, Side]:
    """The outcomes of these prompts, as far as they are still held."""
    wanted = {it.identity for it in found}
    if not wanted:
        return {}
    lane = topic_named(topic).lane
    assert lane is not None
    outcomes = topic_of(ResponseReady, lane).name
    since = int(min(it.submitted_at for it in found).timestamp() * 1000)
    sides: dict[Identity, Side] = {}
    for partition, end in (await bus.end_offsets(outcomes)).items():
        async for record in bus.read(outcomes, partition, since_ms=since, end=end):
            try:
                outcome = ResponseReady.model_validate_json(record.value or b"")
            except ValueError:
                continue
            if outcome.identity in wanted:
                sides.setdefault(outcome.identity, side_of(outcome))
    return sides
