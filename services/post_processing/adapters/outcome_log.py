"""Outcomes written earlier, found in the log itself."""

from contextlib import aclosing

from libs.bus import Bus, Rejected, decode
from schemas.responses import ResponseReady
from schemas.topics import topics_of

_SLACK_MS = 2_000
"""Our clock when an outcome was handed over, against its record's time stamp."""


class BusOutcomeLog:
    """Reads both lanes of response-ready from the time at which the outcome is known to have been written."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def find(self, partition: int, identity: tuple[str, str], since_ms: int) -> ResponseReady | None:
        for topic in topics_of(ResponseReady):
            found = await self._find_on(topic.name, partition, identity, since_ms)
            if found is not None:
                return found
        return None

    async def _find_on(
        self, topic: str, partition: int, identity: tuple[str, str], since_ms: int
    ) -> ResponseReady | None:
        async with aclosing(self._bus.read(topic, partition, since_ms=since_ms - _SLACK_MS)) as records:
            async for record in records:
                try:
                    outcome = decode(record, ResponseReady)
                except Rejected:
                    continue
                if outcome.identity == identity:
                    return outcome
        return None
