"""Evaluation on the real broker, with real examinations of a very small model: adapters in, verdicts out."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from libs.bus import header
from libs.bus.kafka import KafkaBus
from libs.model_registry import Adapters, Champions
from libs.model_registry.registry import Registry
from libs.settings import BusSettings
from schemas.evaluation import EvaluationRequested, PromotionRequested
from schemas.training import TrainingRequested
from services.evaluation.app import create_app
from services.evaluation.settings import EvaluationSettings
from services.retraining.app import create_app as create_retraining
from services.retraining.settings import RetrainingSettings
from tests.support.services import everything, first, publish, running
from tests.support.trainings import published, recipe_file, tiny_base

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]
TOPICS = (
    *("dataset-published", "dataset-published-dlq", "training-requested", "training-requested-dlq"),
    *("training-progressed", "model-trained", "model-trained-dlq", "evaluation-requested", "evaluation-requested-dlq"),
    *("evaluation-progressed", "model-evaluated", "promotion-requested", "promotion-requested-dlq"),
    *("model-promoted", "model-rolled-back", "document-indexed", "prompt-failed"),
)
RULES = [
    {"metric": "preference_accuracy", "must": "improve"},
    {"metric": "adapter_bytes", "must": "hold", "at_most": 10_000_000},
]
LITTLE = {"texts": 2, "answers": 2, "answer_tokens": 4, "questions": 0, "trials": 2}


@pytest.fixture
async def kafka(make_kafka: Callable[..., Awaitable[BusSettings]]) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(await make_kafka(*TOPICS), client_id="test")
    yield bus
    await bus.close()


@asynccontextmanager
async def the_loop(bus: KafkaBus, folder: Path) -> AsyncIterator[None]:
    """Retraining and evaluation, on the same folders."""
    base = str(tiny_base(folder / "base"))
    # Learns the rule in a moment.
    recipes = recipe_file(folder / "recipes", max_steps=6, save_steps=6, learning_rate=0.05)
    gates = folder / "gates"
    gates.mkdir()
    gate = {"name": "default", "version": 1, "min_items": 2, "rules": RULES, "exams": LITTLE}
    (gates / "default.yaml").write_text(json.dumps(gate))
    shared: dict[str, Any] = {"base": base, "device": "cpu", "threads": 1, "datasets": folder / "datasets"}
    often = timedelta(milliseconds=1)
    training = RetrainingSettings(recipes=recipes, progress_every=often, **shared)
    examining = EvaluationSettings(gates=gates, progress_every=often, look=timedelta(seconds=0.2), **shared)
    async with running(create_retraining(training), bus, folder), running(create_app(examining), bus, folder):
        yield


def of(request_id: str, body: dict[str, Any]) -> bool:
    return bool(body["request_id"] == request_id)


async def body_of(bus: KafkaBus, topic: str, request_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await first(bus, topic, partial(of, request_id))).value or b"")
    return found


async def refusal(bus: KafkaBus, topic: str, request_id: str) -> str:
    letter = await first(bus, f"{topic}-dlq", partial(of, request_id))
    return (header(letter, "dlq_reason") or b"").decode()


async def mirrored(registry: Registry, champion: str | None) -> None:
    """Returns once the registry knows what serves."""
    async with asyncio.timeout(60):
        while await asyncio.to_thread(registry.named, "champion") != champion:  # noqa: ASYNC110 - MLflow sets no event
            await asyncio.sleep(0.1)


async def test_what_is_trained_is_examined_serves_and_is_rolled_back(kafka: KafkaBus, tmp_path: Path) -> None:
    # The untrained base prefers what begins with thanks: here it has something to learn.
    published(tmp_path / "datasets", 48, flipped=True)
    async with the_loop(kafka, tmp_path):
        await publish(kafka, TrainingRequested(request_id="t-1", recipe="quick"))
        trained = await body_of(kafka, "model-trained", "t-1")
        said = await body_of(kafka, "model-evaluated", f"trained-{trained['run_id']}")
        assert said["passed"], said["reasons"]
        both = said["metrics"]["preference_accuracy"]
        assert both["candidate"] >= both["champion"] + 0.1
        assert set(said["metrics"]) >= {"preference_loss", "general_perplexity", "safety", "adapter_bytes", "win_rate"}
        promoted = await body_of(kafka, "model-promoted", f"gate-{said['evaluation_id']}")
        assert (promoted["model"], promoted["revision"], promoted["previous"]) == (trained["model"], 1, None)
        progress = await everything(kafka, "evaluation-progressed")
        assert [it["step"] for it in progress] == sorted(it["step"] for it in progress)
        assert progress[-1]["step"] == progress[-1]["steps"] > 0

        registry = Registry(f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
        await mirrored(registry, trained["model"])
        await publish(kafka, PromotionRequested(request_id="back", action="rollback", model=trained["model"]))
        back = await body_of(kafka, "model-rolled-back", "back")
        assert (back["model"], back["rolled_back"], back["revision"]) == (None, trained["model"], 2)
        await mirrored(registry, None)
        # It has passed against what serves now: whoever wants it back need not ask the gate again.
        await publish(
            kafka, PromotionRequested(request_id="again", action="promote", model=trained["model"], share=0.5)
        )
        assert (await body_of(kafka, "model-promoted", "again"))["share"] == 0.5
    report = (tmp_path / "evaluation" / said["evaluation_id"] / "report.md").read_text()
    assert "| yes | preference\\_accuracy |" in report or "| yes | preference_accuracy |" in report
    assert Champions(tmp_path / "models").serving().challenger == trained["model"]
    assert Adapters(tmp_path / "models").open(trained["model"]).verify() == []


async def test_what_cannot_be_done_is_a_dead_letter_with_the_reason(kafka: KafkaBus, tmp_path: Path) -> None:
    async with the_loop(kafka, tmp_path):
        await publish(kafka, EvaluationRequested(request_id="e-1", model="quick-000000000000"))
        await publish(kafka, EvaluationRequested(request_id="e-2", model="quick-000000000000", gate="strict"))
        await publish(kafka, PromotionRequested(request_id="p-1", action="promote", model="quick-000000000000"))
        await publish(kafka, PromotionRequested(request_id="p-2", action="rollback"))
        assert "quick-000000000000" in await refusal(kafka, "evaluation-requested", "e-1")
        assert await refusal(kafka, "evaluation-requested", "e-2") == 'no gate "strict": there are default'
        assert 'no adapter "quick-000000000000"' in await refusal(kafka, "promotion-requested", "p-1")
        assert "nothing was promoted" in await refusal(kafka, "promotion-requested", "p-2")
    assert await everything(kafka, "model-promoted") == []
