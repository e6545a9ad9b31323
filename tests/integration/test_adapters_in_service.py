"""Promotions and rollbacks on the real broker while prompts flow: each gets one completion, by what served it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from libs.bus import Outgoing, Producer, encode
from libs.bus.kafka import KafkaBus
from libs.settings import BusSettings
from schemas.base import Event, Message
from schemas.evaluation import ModelPromoted, ModelRolledBack
from schemas.prompts import PromptCleared
from schemas.topics import topic_of
from services.inference.app import create_app
from services.inference.domain.serving import Challenger, WhatServes
from services.inference.settings import InferenceSettings
from tests.support.services import everything, first, running
from tests.support.upstreams import Steady

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]
TOPICS = (
    *("prompt-cleared", "prompt-cleared-batch", "prompt-cancelled", "prompt-cleared-dlq", "completion-chunk"),
    *("completion-generated", "completion-generated-batch", "prompt-failed", "prompt-failed-batch"),
    *("model-promoted", "model-promoted-dlq", "model-rolled-back", "model-rolled-back-dlq"),
)
AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def bus(make_kafka: Callable[..., Awaitable[BusSettings]]) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(await make_kafka(*TOPICS), client_id="test")
    yield bus
    await bus.close()


def asked_as(prompt_id: str, body: dict[str, Any]) -> bool:
    return bool(body["prompt_id"] == prompt_id)


class Upstream(Steady):
    """Writes prompts, and changes of what serves."""

    def __init__(self, bus: KafkaBus, producer: Producer) -> None:
        super().__init__()
        self._bus = bus
        self._producer = producer

    async def ask(self, conversation: str | None = None) -> str:
        number = next(self._numbers)
        prompt = PromptCleared(
            prompt_id=f"p{number}",
            tenant="acme",
            conversation_id=conversation or f"c{number}",
            submitted_at=AT,
            messages=(Message(role="user", content=f"hello {number}"),),
            template="chat@1",
            policy="default",
        )
        await self.write(prompt, number % 2)
        self.asked.append(prompt.prompt_id)
        return prompt.prompt_id

    async def write(self, event: Event, partition: int = 0) -> None:
        outgoing = Outgoing(topic_of(type(event)).name, event.key.encode(), encode(event), (), partition)
        await (await self._producer.send(outgoing))

    async def adapter_of_next(self) -> Any:
        asked = await self.ask()
        record = await first(self._bus, "completion-generated", partial(asked_as, asked))
        return json.loads(record.value or b"")["model"]["adapter"]


async def test_what_serves_changes_while_prompts_flow_and_each_is_answered_once(bus: KafkaBus) -> None:
    producer = await bus.producer()
    upstream = Upstream(bus, producer)
    one = ModelPromoted(revision=1, model="dpo-1", share=1, request_id="q-1", promoted_at=AT)
    two = ModelPromoted(revision=2, model="dpo-2", share=1, previous="dpo-1", request_id="q-2", promoted_at=AT)
    await upstream.write(one)
    early = await upstream.ask()
    async with running(create_app(InferenceSettings(engine="echo", model="echo")), bus):
        flowing = asyncio.create_task(upstream.flow())
        await first(bus, "completion-generated", lambda body: body["prompt_id"] == early)
        await upstream.write(two)
        await first(bus, "completion-generated", lambda body: body["model"]["adapter"] == "dpo-2")
        await upstream.write(one)
        after_promotion = [await upstream.adapter_of_next() for _ in range(3)]
        tried = ModelPromoted(
            revision=3, model="kto-3", share=0.5, champion="dpo-2", previous="dpo-2", request_id="q-3", promoted_at=AT
        )
        await upstream.write(tried)
        await first(bus, "completion-generated", lambda body: body["model"]["adapter"] == "kto-3")
        shared = len(upstream.asked)
        await asyncio.sleep(0.5)
        back = ModelRolledBack(revision=4, model="dpo-2", rolled_back="kto-3", request_id="q-4", rolled_back_at=AT)
        until = len(upstream.asked)
        await upstream.write(back)
        await upstream.write(tried)
        await asyncio.sleep(1)
        after_rollback = [await upstream.adapter_of_next() for _ in range(3)]
        upstream.enough.set()
        await flowing
        for asked in [await upstream.ask() for _ in range(2)]:
            # One in each partition: those before them have begun at least, and a stop waits for them.
            await first(bus, "completion-generated", partial(asked_as, asked))
    await producer.stop()

    said = await everything(bus, "completion-generated")
    assert sorted(body["prompt_id"] for body in said) == sorted(upstream.asked)
    adapters = {body["prompt_id"]: body["model"]["adapter"] for body in said}
    assert adapters[early] == "dpo-1"
    assert (after_promotion, after_rollback) == (["dpo-2"] * 3, ["dpo-2"] * 3)
    serves = WhatServes("dpo-2", Challenger("kto-3", 0.5))
    wanted = {f"p{n}": serves.adapter_for("acme", f"c{n}") for n in range(shared, until)}
    assert {name: adapters[name] for name in wanted} == wanted
    assert set(wanted.values()) == {"dpo-2", "kto-3"}
    assert not await everything(bus, "model-promoted-dlq")
