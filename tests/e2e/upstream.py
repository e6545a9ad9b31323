"""A plain upstream for tests: publishes prompts as JSON records and waits for their outcomes, by the contract."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from libs.bus import Outgoing, Producer
from libs.bus.kafka import KafkaBus

JSON = dict[str, Any]


class Upstream:
    """One upstream's view of one lane. Collects every outcome it sees, twice if it comes twice."""

    def __init__(self, bus: KafkaBus, producer: Producer, lane: str = "") -> None:
        self._bus = bus
        self._producer = producer
        self._lane = lane
        self._seen: dict[str, list[JSON]] = {}
        self._came = asyncio.Condition()

    async def publish(self, prompt: JSON, *, headers: Iterable[tuple[str, bytes]] = ()) -> None:
        """Writes one prompt, keyed as the contract says."""
        key: str = prompt.get("conversation_id") or prompt["prompt_id"]
        await self.publish_bytes(key, json.dumps(prompt).encode(), headers=headers)

    async def publish_bytes(self, key: str, body: bytes | None, *, headers: Iterable[tuple[str, bytes]] = ()) -> None:
        """Writes whatever it is told to."""
        outgoing = Outgoing(f"prompt-submitted{self._lane}", key.encode(), body, tuple(headers))
        await (await self._producer.send(outgoing))

    async def outcome(self, prompt_id: str, *, within: float = 60) -> JSON:
        """The prompt's outcome."""
        async with asyncio.timeout(within), self._came:
            await self._came.wait_for(lambda: prompt_id in self._seen)
        return self._seen[prompt_id][0]

    async def outcomes(self, prompt_ids: Iterable[str], *, within: float = 120) -> dict[str, list[JSON]]:
        """All outcomes of these prompts, once each of them has one."""
        wanted = set(prompt_ids)
        async with asyncio.timeout(within), self._came:
            await self._came.wait_for(lambda: wanted <= self._seen.keys())
        return {prompt_id: self._seen[prompt_id] for prompt_id in wanted}

    async def ask(self, prompt: JSON, *, within: float = 60) -> JSON:
        """Publishes and waits."""
        await self.publish(prompt)
        return await self.outcome(prompt["prompt_id"], within=within)

    async def _listen(self, starts: dict[int, int]) -> None:
        async with aclosing(self._bus.follow(f"response-ready{self._lane}", starts)) as batches:
            async for records in batches:
                async with self._came:
                    for record in records:
                        outcome = json.loads(record.value or b"")
                        self._seen.setdefault(outcome["prompt_id"], []).append(outcome)
                    self._came.notify_all()


@asynccontextmanager
async def upstream(bus: KafkaBus, lane: str = "") -> AsyncIterator[Upstream]:
    """An upstream that hears every outcome from now on."""
    producer = await bus.producer()
    listener = Upstream(bus, producer, lane)
    starts = dict(await bus.end_offsets(f"response-ready{lane}"))
    task = asyncio.create_task(listener._listen(starts))
    try:
        yield listener
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await producer.stop()
