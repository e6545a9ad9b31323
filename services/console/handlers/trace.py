"""Finds one prompt's events: a bounded time window, and only its key's partition as far as that is known."""

import asyncio
from collections.abc import Collection, Iterable

from aiokafka.partitioner import murmur2

from libs.bus import Bus
from schemas.base import PathEvent
from schemas.prompts import PromptCancelled, PromptSubmitted
from schemas.responses import ResponseReady
from schemas.topics import CATALOGUE, topic_named
from services.console.domain.trace import Sighting, Trace, build, sighting

_AT_ONCE = 8
_REPLY = "reply"


def _is_of_the_path(name: str) -> bool:
    event = topic_named(name.removesuffix("-dlq")).event
    return event is not None and issubclass(event, PathEvent | PromptSubmitted | PromptCancelled | ResponseReady)


PATH_TOPICS = tuple(topic.name for topic in CATALOGUE if _is_of_the_path(topic.name))


async def trace(bus: Bus, prompt_id: str, tenant: str, conversation_id: str | None, since_ms: int) -> Trace | None:
    """The prompt's way; None when the window holds nothing of it."""
    finder = _Finder(bus, prompt_id, tenant, since_ms)
    count = len(await bus.partitions("prompt-submitted"))
    home = (murmur2((conversation_id or prompt_id).encode()) & 0x7FFFFFFF) % count
    found = await finder.look(PATH_TOPICS, [home])
    if not found:
        # Keyed by a conversation that was not named, or by a client with another partitioner.
        found = await finder.look(PATH_TOPICS, [p for p in range(count) if p != home])
    replies = {s.fields["reply_to"] for s in found if isinstance(s.fields.get("reply_to"), int)}
    found += await finder.look([_REPLY], replies)
    return build(prompt_id, tenant, found) if found else None


class _Finder:
    def __init__(self, bus: Bus, prompt_id: str, tenant: str, since_ms: int) -> None:
        self._bus = bus
        self._prompt_id = prompt_id
        self._tenant = tenant
        self._since_ms = since_ms
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def look(self, topics: Iterable[str], partitions: Collection[int]) -> list[Sighting]:
        """Sightings in these partitions of these topics."""
        looks = await asyncio.gather(*(self._topic(topic, partitions) for topic in topics))
        return [found for looked in looks for found in looked]

    async def _topic(self, topic: str, partitions: Collection[int]) -> list[Sighting]:
        async with self._slots:
            ends = await self._bus.end_offsets(topic)
            written = [p for p in sorted(partitions) if ends.get(p)]
            return [found for p in written for found in await self._read(topic, p)]

    async def _read(self, topic: str, partition: int) -> list[Sighting]:
        records = self._bus.read(topic, partition, since_ms=self._since_ms)
        return [s async for record in records if (s := sighting(record, self._prompt_id, self._tenant))]
