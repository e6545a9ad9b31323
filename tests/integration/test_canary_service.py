"""Canaries on the real broker: shares rise by the outcomes of the whole path, a bad candidate goes by itself."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.bus.kafka import KafkaBus
from libs.model_registry import Adapters, Champions
from libs.settings import BusSettings
from schemas.evaluation import PromotionRequested
from schemas.prompts import PromptSubmitted
from schemas.responses import ResponseReady
from schemas.topics import CATALOGUE
from services.evaluation.app import create_app
from services.evaluation.settings import EvaluationSettings
from services.inference.domain.serving import place
from tests.support.services import everything, first, publish, running
from tests.support.small_adapters import small
from tests.support.upstreams import Steady
from tests.support.whole_path import whole_path
from tests.unit.evaluation.trials import judged, thumb

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]
SHARES = {"quick": [(0.3, 0), (0.6, 0)], "patient": [(0.3, 60)]}
"""Plans, each with shares and minutes."""
PLAN = {
    "version": 1,
    "rules": [{"measure": "refused", "by": 0.4}, {"measure": "disliked", "by": 0.2, "shown": False}],
}  # fmt: skip


class Upstream(Steady):
    """Publishes prompts."""

    def __init__(self, bus: KafkaBus) -> None:
        super().__init__()
        self._bus = bus

    async def ask(self, conversation: str | None = None) -> str:
        number = next(self._numbers)
        content = [{"role": "user", "content": f"hello {number}"}]
        told = {"prompt_id": f"p-{number}", "messages": content, "conversation_id": conversation}
        prompt = PromptSubmitted.model_validate({name: it for name, it in told.items() if it is not None})
        self.asked.append(prompt.prompt_id)
        await publish(self._bus, prompt, partition=number % 2)
        return prompt.prompt_id


@pytest.fixture
async def bus(make_kafka: Callable[..., Awaitable[BusSettings]], tmp_path: Path) -> AsyncIterator[KafkaBus]:
    """The whole prompt path and evaluation, with a plan of seconds."""
    settings = await make_kafka(*(topic.name for topic in CATALOGUE))
    plans = tmp_path / "canaries"
    plans.mkdir()
    for name, shares in SHARES.items():
        steps = [{"share": share, "minutes": minutes, "conversations": 10} for share, minutes in shares]
        (plans / f"{name}.yaml").write_text(json.dumps({**PLAN, "name": name, "steps": steps}))
    chosen = EvaluationSettings(canaries=plans, watch=timedelta(seconds=0.2), progress_every=timedelta(seconds=0.2))
    async with whole_path(settings, tmp_path) as path, running(create_app(chosen), path.bus, tmp_path):
        yield path.bus


async def outcome_of(bus: KafkaBus, prompt_id: str) -> dict[str, Any]:
    record = await first(bus, "response-ready", lambda body: body["prompt_id"] == prompt_id)
    return dict(json.loads(record.value or b""))


@asynccontextmanager
async def asking(upstream: Upstream) -> AsyncIterator[None]:
    flowing = asyncio.create_task(upstream.flow())
    try:
        yield
    finally:
        upstream.enough.set()
        await flowing


async def promoted(bus: KafkaBus, model: str, share: float) -> dict[str, Any]:
    record = await first(bus, "model-promoted", lambda body: body["model"] == model and body["share"] == share)
    return dict(json.loads(record.value or b""))


async def test_a_candidate_gets_all_conversations_by_its_answers_and_the_next_one_goes_by_what_people_say(
    bus: KafkaBus, tmp_path: Path
) -> None:
    adapters = Adapters(tmp_path / "models")
    good, bad = (small(adapters, number).name for number in (1.0, 2.0))
    upstream = Upstream(bus)
    async with asking(upstream):
        await publish(
            bus, PromotionRequested(request_id="q-1", action="promote", model=good, force=True, canary="quick")
        )
        shares = [(await promoted(bus, good, share))["canary"] for share in (0.3, 0.6, 1.0)]
        assert shares == ["quick", "quick", None]
        progress = await first(bus, "canary-progressed", lambda body: body["next"] == "raise" and body["share"] == 0.6)
        assert {it["measure"]: it["state"] for it in json.loads(progress.value or b"")["checks"]} == {
            "refused": "held", "disliked": "open",
        }  # fmt: skip

        await publish(
            bus, PromotionRequested(request_id="q-2", action="promote", model=bad, force=True, canary="patient")
        )
        await promoted(bus, bad, 0.3)
        seen: set[str] = set()
        async with asyncio.timeout(90):
            while not await everything(bus, "model-rolled-back"):
                for body in await everything(bus, "response-ready"):
                    outcome = ResponseReady.model_validate(body)
                    if outcome.prompt_id in seen or outcome.model is None or outcome.model.adapter is None:
                        continue
                    seen.add(outcome.prompt_id)
                    up = outcome.model.adapter == good
                    at: Any = {"answered_at": outcome.created_at, "conversation_id": outcome.conversation_id}
                    said = [thumb(up)]
                    await publish(bus, judged(outcome.prompt_id, outcome.model.adapter, said, **at))
        (back,) = await everything(bus, "model-rolled-back")
        assert (back["rolled_back"], back["model"], back["request_id"]) == (bad, good, "canary-4")
        assert "answers that were judged badly: 100.0% against 0.0%" in back["reason"]
        # A conversation that was the candidate's is the champion's again, and so are all others.
        tried = next(f"c-{number}" for number in itertools.count() if place("default", f"c-{number}", bad) < 0.3)
        async with asyncio.timeout(5):
            while (await outcome_of(bus, await upstream.ask(tried)))["model"]["adapter"] != good:
                pass
        later = {await upstream.ask() for _ in range(20)}
    for prompt in upstream.asked[-2:]:
        # The last one of each partition.
        await outcome_of(bus, prompt)
    outcomes = await everything(bus, "response-ready")
    assert sorted(it["prompt_id"] for it in outcomes) == sorted(upstream.asked)
    assert {it["status"] for it in outcomes} == {"answered"}
    assert {it["model"]["adapter"] for it in outcomes if it["prompt_id"] in later} == {good}
    assert [turn.share for turn in Champions(tmp_path / "models").turns()] == [0.3, 0.6, 1.0, 0.3, 1.0]
    assert await everything(bus, "promotion-requested-dlq") == []
