"""kill -9 of evaluation amid an examination and at every boundary: one verdict, one promotion, one rollback."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeVar

import pytest

from infra.local.lag import consumer_lag
from libs.bus import Outgoing, encode
from libs.bus.kafka import KafkaBus
from libs.model_registry import Champions
from schemas.base import Event
from schemas.evaluation import EvaluationRequested, ModelEvaluated, ModelPromoted, ModelRolledBack, PromotionRequested
from schemas.topics import topic_of
from services.evaluation.domain.exam import evaluation_id_of
from tests.support.adapters import drawn, kept
from tests.support.faults.crowd import Crowd
from tests.support.faults.family import Family
from tests.support.faults.fate import BOUNDARIES, Fate
from tests.support.faults.in_peace import read
from tests.support.trainings import published, tiny_base

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("faults"), pytest.mark.timeout(300)]
E = TypeVar("E", bound=Event)
EXAMS = {"pairs": 8, "answers": 2, "answer_tokens": 4, "texts": 4, "questions": 0, "trials": 2}
RULES = [{"metric": "adapter_bytes", "must": "hold", "at_most": 100_000_000}]


@pytest.fixture
async def folder(services: Family, tmp_path: Path) -> AsyncIterator[Path]:
    """Evaluation is there, with an adapter that passes and all that it keeps in this folder."""
    base = tiny_base(tmp_path / "base")
    published(tmp_path / "datasets", 24)
    kept(tmp_path / "models", drawn(base, tmp_path / "drawn", seed=1), base)
    (tmp_path / "gates").mkdir()
    gate = {"name": "default", "version": 1, "rules": RULES, "exams": EXAMS}
    (tmp_path / "gates" / "default.yaml").write_text(json.dumps(gate))
    yield tmp_path
    await services.leave("evaluation")


def settings_in(folder: Path) -> dict[str, str]:
    names = ("DATASETS", "MODELS", "REPORTS", "GATES", "REGISTRY_FOLDER")
    chosen = {"BASE": str(folder / "base"), "THREADS": "1", "DEVICE": "cpu"}
    chosen |= {name: str(folder / name.lower()) for name in names}
    return {f"TAILRACE_EVALUATION_{name}": value for name, value in chosen.items()}


async def say(crowd: Crowd, event: Event) -> None:
    await crowd.publish([Outgoing(topic_of(type(event)).name, event.key.encode(), encode(event))])


async def said(log: KafkaBus, kind: type[E], request_id: str) -> set[str]:
    """All that was said of that request, once anything was."""
    async with asyncio.timeout(90):
        while True:
            found = [json.loads(record.value or b"") async for record in read(log, topic_of(kind).name)]
            if ours := {json.dumps(body, sort_keys=True) for body in found if body["request_id"] == request_id}:
                return ours
            await asyncio.sleep(0.1)


async def test_an_examination_that_dies_anywhere_ends_in_one_verdict_and_one_promotion(
    services: Family, log: KafkaBus, crowd: Crowd, chance: random.Random, folder: Path
) -> None:
    environ, killed = settings_in(folder), services.exits["evaluation"].count(-9)
    await services.join("evaluation", fate=Fate(environ=environ))
    request = f"killed-{chance.randrange(10**9)}"
    (model,) = (path.name for path in (folder / "models").iterdir() if path.name.startswith("test-"))
    scores = folder / "reports" / evaluation_id_of(request) / "scores"

    (dataset,) = (path.name for path in (folder / "datasets").iterdir() if len(path.name) == 64)
    asked = EvaluationRequested(request_id=request, model=model, dataset=dataset)
    await say(crowd, asked)
    async with asyncio.timeout(90):
        while not list(scores.glob("*.json")):  # noqa: ASYNC110 - a folder tells nobody
            await asyncio.sleep(0.005)
    await services.hold("evaluation")
    assert not (scores.parent / "evaluated.json").exists()
    before = {path.name: path.stat().st_mtime_ns for path in scores.glob("*.json")}
    await services.release("evaluation", fate=Fate(environ=environ))
    first = await said(log, ModelEvaluated, request)
    wish = f"gate-{evaluation_id_of(request)}"
    promoted = await said(log, ModelPromoted, wish)
    # What was done before the kill was not done again.
    assert {name: (scores / name).stat().st_mtime_ns for name in before} == before

    services.meets("evaluation", *(Fate(dies=boundary, environ=environ) for boundary in BOUNDARIES))
    back = PromotionRequested(request_id=f"back-{request}", action="rollback")
    async with asyncio.timeout(60):
        while services.doomed():
            await say(crowd, asked)
            await say(crowd, back)
            await asyncio.sleep(0.3)
    async with asyncio.timeout(30):
        while await consumer_lag(services.settings, ["evaluation"]) != {"evaluation": 0}:  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.1)
    assert services.exits["evaluation"].count(-9) == killed + 2 + len(BOUNDARIES)
    assert await said(log, ModelEvaluated, request) == first
    assert await said(log, ModelPromoted, wish) == promoted
    assert len(first) == len(promoted) == len(await said(log, ModelRolledBack, back.request_id)) == 1
    assert [turn.action for turn in Champions(folder / "models").turns()] == ["promote", "rollback"]
