"""Finding dead letters: by address, by range, or by what they say; and telling replayed ones from pending."""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import aclosing

from libs.bus import Bus, Record
from schemas.topics import CATALOGUE, topic_named
from services.console.domain.addresses import Address, Range
from services.console.domain.dead_letters import (
    REPLAYED_FROM_HEADER,
    DeadLetter,
    Wanted,
    describe,
    text_of,
)
from services.console.domain.errors import ConsoleError
from services.console.handlers.following import recent

DEAD_LETTER_TOPICS = tuple(topic.name for topic in CATALOGUE if topic.dead_letters_of)


async def find(bus: Bus, wanted: Wanted) -> AsyncIterator[tuple[DeadLetter, Record]]:
    """Dead letters that are meant, topic by topic in the order of the log."""
    for name in (wanted.topic,) if wanted.topic else DEAD_LETTER_TOPICS:
        async for record in recent(bus, name, wanted.since_ms):
            letter = describe(record)
            if wanted.holds(letter):
                yield letter, record


async def newest(bus: Bus, limit: int, wanted: Wanted, *, pending: bool = False) -> list[DeadLetter]:
    """The newest that are meant, newest first, each with where it was written back to. `pending`: none that was."""
    kept: list[DeadLetter] = []
    async for letter, _ in find(bus, wanted):
        kept.append(letter)
        if not pending and len(kept) >= 2 * limit:
            kept = _newest(kept, limit)
    letters = await marked(bus, kept if pending else _newest(kept, limit))
    return _newest([letter for letter in letters if not pending or letter.replayed is None], limit)


def _newest(letters: Sequence[DeadLetter], limit: int) -> list[DeadLetter]:
    return sorted(letters, key=lambda it: it.time.timestamp() if it.time else 0.0, reverse=True)[:limit]


async def marked(bus: Bus, letters: Collection[DeadLetter]) -> list[DeadLetter]:
    """The letters, each with where it was written back to: the topics it may have gone to say so."""
    addresses = {letter.address for letter in letters}
    found: dict[str, str] = {}
    for topic, since_ms in _where_to_look(letters).items():
        async for record in recent(bus, topic, since_ms):
            if (letter := text_of(record, REPLAYED_FROM_HEADER)) in addresses:
                found.setdefault(letter, str(Address(record.topic, record.partition, record.offset)))
    return [it.model_copy(update={"replayed": found.get(it.address)}) for it in letters]


def _where_to_look(letters: Iterable[DeadLetter]) -> dict[str, int]:
    """Topics, and since when; a prompt may have been asked anew from its very beginning."""
    since: dict[str, int] = {}
    for letter in letters:
        moment = int(letter.time.timestamp() * 1000) if letter.time else 0
        origin = topic_named(letter.address.partition("/")[0]).dead_letters_of or ""
        for topic in {origin, _submitted(origin)}:
            since[topic] = min(since.get(topic, moment), moment)
    return since


def _submitted(topic: str) -> str:
    return "prompt-submitted-batch" if topic.endswith("-batch") else "prompt-submitted"


async def fetch(bus: Bus, address: Address) -> Record:
    """One record. Raises ConsoleError where there is none."""
    async for record in fetch_range(bus, Range(*address, address.offset)):
        return record
    raise ConsoleError(f"{address}: there is no record; it was never written, or retention has removed it")


async def fetch_range(bus: Bus, place: Range) -> AsyncIterator[Record]:
    """The records of a range that are there. Raises ConsoleError where the partition is not."""
    if place.partition not in await bus.partitions(place.topic):
        raise ConsoleError(f"{place}: the topic has no partition {place.partition}")
    end = min(place.last + 1, (await bus.end_offsets(place.topic)).get(place.partition, 0))
    if place.first >= end:
        return
    async with aclosing(bus.read(place.topic, place.partition, start=place.first, end=end)) as found:
        async for record in found:
            if place.first <= record.offset <= place.last:
                yield record
