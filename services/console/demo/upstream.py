"""An upstream as anyone would write it: aiokafka, JSON, and the published contract; nothing of Tailrace is imported."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

JSON = dict[str, Any]


class Upstream:
    """Publishes prompts and waits for their outcomes."""

    def __init__(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self._producer = producer
        self._consumer = consumer

    async def ask(self, prompt: JSON, *, within: float) -> JSON:
        """One prompt, one outcome. Raises TimeoutError."""
        return await self.send(prompt["prompt_id"], json.dumps(prompt).encode(), within=within)

    async def send(self, prompt_id: str, body: bytes, *, within: float) -> JSON:
        """The same for bytes that may be no prompt at all."""
        await self._producer.send_and_wait("prompt-submitted", body, key=prompt_id.encode())
        async with asyncio.timeout(within):
            async for record in self._consumer:
                outcome: JSON = json.loads(record.value)
                if outcome["prompt_id"] == prompt_id:
                    return outcome
        raise RuntimeError("the consumer was stopped")

    async def ask_all(self, prompts: Sequence[JSON], *, within: float) -> list[JSON]:
        """Many at once; the outcomes in the order of the prompts. Raises TimeoutError."""
        for prompt in prompts:
            body, key = json.dumps(prompt).encode(), prompt["prompt_id"].encode()
            await self._producer.send("prompt-submitted", body, key=key)
        found: dict[str, JSON] = {}
        wanted = [prompt["prompt_id"] for prompt in prompts]
        async with asyncio.timeout(within):
            while not found.keys() >= set(wanted):
                outcome: JSON = json.loads((await self._consumer.getone()).value)
                found[outcome["prompt_id"]] = outcome
        return [found[prompt_id] for prompt_id in wanted]

    async def judge(self, feedback: JSON) -> None:
        """What somebody says of an answer."""
        key = feedback["response_id"].encode()
        await self._producer.send_and_wait("feedback-submitted", json.dumps(feedback).encode(), key=key)


@asynccontextmanager
async def upstream(bootstrap_servers: str) -> AsyncIterator[Upstream]:
    """Connected, and listening from now on."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer("response-ready", bootstrap_servers=bootstrap_servers, auto_offset_reset="latest")
    async with producer, consumer:
        # The end is looked up when a position is first asked for: now, before anything is published.
        for partition in consumer.assignment():
            await consumer.position(partition)
        yield Upstream(producer, consumer)
