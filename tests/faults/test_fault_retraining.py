"""kill -9 of retraining amid a training and at every boundary, and a corrupt checkpoint: the same adapter."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.local.lag import consumer_lag
from libs.bus import Outgoing, encode
from libs.bus.kafka import KafkaBus
from libs.model_registry import Adapters
from libs.model_registry.registry import Registry
from schemas.training import ModelTrained, TrainingRequested
from services.retraining.domain.job import run_id_of
from tests.support.faults.crowd import Crowd
from tests.support.faults.family import Family
from tests.support.faults.fate import BOUNDARIES, Fate
from tests.support.faults.in_peace import read
from tests.support.trainings import published, recipe_file, tiny_base

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("faults"), pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Place:
    """Where retraining keeps everything, and the settings that say so."""

    folder: Path
    environ: dict[str, str]


@pytest.fixture
async def place(services: Family, tmp_path: Path) -> AsyncIterator[Place]:
    """Retraining is there."""
    recipe_file(tmp_path / "recipes", max_steps=15, save_steps=5)
    folders = ("DATASETS", "MODELS", "RUNS", "RECIPES", "REGISTRY_FOLDER")
    chosen = {"BASE": str(tiny_base(tmp_path / "base")), "THREADS": "1", "DEVICE": "cpu"}
    chosen |= {name: str(tmp_path / name.lower()) for name in folders}
    made = Place(tmp_path, {f"TAILRACE_RETRAINING_{name}": value for name, value in chosen.items()})
    await services.join("retraining", fate=Fate(environ=made.environ))
    yield made
    await services.leave("retraining")


async def ask(crowd: Crowd, request_id: str) -> None:
    event = TrainingRequested(request_id=request_id, recipe="quick")
    await crowd.publish([Outgoing("training-requested", event.key.encode(), encode(event))])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not condition():  # noqa: ASYNC110 - a folder tells nobody
            await asyncio.sleep(0.005)


async def trained(log: KafkaBus, request_id: str) -> list[ModelTrained]:
    """What was said of that request, once anything was."""
    async with asyncio.timeout(90):
        while True:
            said = [ModelTrained.model_validate_json(r.value or b"") async for r in read(log, "model-trained")]
            if found := [event for event in said if event.request_id == request_id]:
                return found
            await asyncio.sleep(0.1)


async def test_a_training_that_dies_anywhere_ends_in_the_same_adapter(
    services: Family, log: KafkaBus, crowd: Crowd, chance: random.Random, place: Place
) -> None:
    folder, environ = place.folder, place.environ
    published(folder / "datasets", 16)
    killed = f"killed-{chance.randrange(10**9)}"
    run = folder / "runs" / run_id_of(killed)

    await ask(crowd, killed)
    await until((run / "work" / "checkpoints" / "checkpoint-10" / "whole.json").exists)
    await services.hold("retraining")
    assert not (run / "ended.json").exists()
    # The newest is corrupt now; the one before it is not.
    newest = run / "work" / "checkpoints" / "checkpoint-10"
    with (newest / "adapter_model.safetensors").open("r+b") as file:
        file.seek(-9, 2)
        file.write(b"corrupted")
    await services.release("retraining", fate=Fate(environ=environ))
    [first] = await trained(log, killed)
    statuses = [json.loads(line)["status"] for line in (run / "progress.jsonl").read_text().splitlines()]
    assert "resumed" in statuses
    assert statuses.count("started") == 1

    services.meets("retraining", *(Fate(dies=boundary, environ=environ) for boundary in BOUNDARIES))
    async with asyncio.timeout(60):
        while services.doomed():
            await ask(crowd, killed)
            await asyncio.sleep(0.3)
    assert services.exits["retraining"].count(-9) == 2 + len(BOUNDARIES)

    peaceful = f"peaceful-{chance.randrange(10**9)}"
    await ask(crowd, peaceful)
    [undisturbed] = await trained(log, peaceful)
    assert undisturbed.model == first.model
    assert Adapters(folder / "models").open(first.model).verify() == []
    async with asyncio.timeout(30):
        while await consumer_lag(services.settings, ["retraining"]) != {"retraining": 0}:  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.1)
    assert {event.model_dump_json() for event in await trained(log, killed)} == {first.model_dump_json()}
    registry = Registry(f"sqlite:///{folder / 'registry_folder' / 'mlflow.db'}")
    assert [version.adapter for version in registry.versions()] == [first.model]
