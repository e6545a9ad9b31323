"""Finding dead letters and writing them back to where they came from."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from libs.bus import Bus, Record
from schemas.topics import CATALOGUE
from services.console.domain.addresses import Address
from services.console.domain.dead_letters import DeadLetter, describe, matches, original
from services.console.domain.errors import ConsoleError
from services.console.handlers.following import recent

DEAD_LETTER_TOPICS = tuple(topic.name for topic in CATALOGUE if topic.dead_letters_of)


async def find(
    bus: Bus, *, topic: str | None, code: str | None, reason: str | None, since_ms: int | None
) -> AsyncIterator[tuple[DeadLetter, Record]]:
    """Dead letters that match, topic by topic in the order of the log."""
    for name in (topic,) if topic else DEAD_LETTER_TOPICS:
        async for record in recent(bus, name, since_ms):
            letter = describe(record)
            if matches(letter, code, reason):
                yield letter, record


async def newest(
    bus: Bus, limit: int, *, topic: str | None, code: str | None, reason: str | None, since_ms: int | None
) -> list[DeadLetter]:
    """The newest that match, newest first."""
    kept: list[DeadLetter] = []
    async for letter, _ in find(bus, topic=topic, code=code, reason=reason, since_ms=since_ms):
        kept.append(letter)
        if len(kept) >= 2 * limit:
            kept = _newest(kept, limit)
    return _newest(kept, limit)


def _newest(letters: Sequence[DeadLetter], limit: int) -> list[DeadLetter]:
    return sorted(letters, key=lambda it: it.time.timestamp() if it.time else 0.0, reverse=True)[:limit]


async def fetch(bus: Bus, address: Address) -> Record:
    """One dead letter. Raises ConsoleError where there is none."""
    if address.partition not in await bus.partitions(address.topic):
        raise ConsoleError(f"{address}: the topic has no partition {address.partition}")
    records = bus.read(address.topic, address.partition, start=address.offset, end=address.offset + 1)
    async with aclosing(records) as found:
        async for record in found:
            if record.offset == address.offset:
                return record
    raise ConsoleError(f"{address}: there is no record; it was never written, or retention has removed it")


async def replay(bus: Bus, letters: Sequence[tuple[Record, bytes | None]]) -> list[Address]:
    """Writes each record back with the given body; where they lie now."""
    outgoing = [original(record, body, await _partitions(bus, record)) for record, body in letters]
    producer = await bus.producer()
    try:
        written = [await (await producer.send(record)) for record in outgoing]
    finally:
        await producer.stop()
    return [Address(o.topic, w.partition, w.offset) for o, w in zip(outgoing, written, strict=True)]  # type: ignore[attr-defined]


async def _partitions(bus: Bus, record: Record) -> int:
    return len(await bus.partitions(record.topic.removesuffix("-dlq")))
