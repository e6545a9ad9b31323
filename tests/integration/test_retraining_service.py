"""Retraining on the real broker, with real trainings of a very small model: requests in, registered adapters out."""

import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from libs.bus import header
from libs.bus.kafka import KafkaBus
from libs.datasets import Datasets
from libs.datasets.announcing import announcement
from libs.model_registry import Adapters
from libs.model_registry.registry import Registry
from libs.settings import BusSettings
from schemas.training import TrainingRequested
from services.retraining.app import create_app
from services.retraining.settings import RetrainingSettings
from tests.support.poison import poisoned
from tests.support.services import everything, first, publish, running
from tests.support.trainings import published, recipe_file, tiny_base

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]
TOPICS = (
    *("dataset-published", "dataset-published-dlq", "training-requested", "training-requested-dlq"),
    *("training-progressed", "model-trained", "prompt-failed"),
)
OFTEN = timedelta(milliseconds=1)


@pytest.fixture
async def kafka(make_kafka: Callable[..., Awaitable[BusSettings]]) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(await make_kafka(*TOPICS), client_id="test")
    yield bus
    await bus.close()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def settings(base: Path, tmp_path: Path) -> RetrainingSettings:
    recipes = recipe_file(tmp_path / "recipes")
    return RetrainingSettings(
        base=str(base), recipes=recipes, device="cpu", threads=1, progress_every=OFTEN, datasets=tmp_path / "datasets"
    )


@asynccontextmanager
async def serving(bus: KafkaBus, folder: Path, settings: RetrainingSettings) -> AsyncIterator[None]:
    async with running(create_app(settings), bus, folder):
        yield


def asked_as(request_id: str, body: dict[str, Any]) -> bool:
    return bool(body["request_id"] == request_id)


async def trained(bus: KafkaBus, request_id: str) -> dict[str, Any]:
    record = await first(bus, "model-trained", lambda body: body["request_id"] == request_id)
    found: dict[str, Any] = json.loads(record.value or b"")
    return found


async def test_new_rows_become_an_adapter_and_from_the_champion_on_only_what_is_new_is_trained(
    kafka: KafkaBus, tmp_path: Path, settings: RetrainingSettings
) -> None:
    assert settings.recipes is not None
    recipe_file(settings.recipes, "by-itself", when={"rows": 10})
    recipe_file(settings.recipes, "further", start="champion", rows="new", replay=0.5)
    datasets = Datasets(tmp_path / "datasets")
    one = published(datasets.folder, 16)
    async with serving(kafka, tmp_path, settings):
        await publish(kafka, announcement(datasets, one))
        found = await trained(kafka, f"rows-by-itself-{one.name[:32]}")
        adapter = Adapters(tmp_path / "models").open(found["model"])
        assert adapter.verify() == []
        card = adapter.card
        assert (card.trained.dataset, card.trained.train, card.seed) == (one.name, one.manifest.rows["dpo"]["train"], 7)
        assert card.recipe == found["recipe"]
        assert card.libraries["trl"]

        registry = Registry(f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
        assert registry.named("candidate") == adapter.name
        assert registry.named("champion") is None
        registry.point("champion", adapter.name)

        two = published(datasets.folder, 24)
        assert datasets.open("latest").name == two.name
        await publish(kafka, TrainingRequested(request_id="on", recipe="further"))
        later = await trained(kafka, "on")
        assert later["started_from"] == adapter.name
        old, new = ({row for row, _ in it.identified("dpo", "train")} for it in (one, two))
        fresh = len(new - old)
        assert (later["rows"], later["replayed"]) == (fresh + round(fresh / 2), round(fresh / 2))
        assert registry.named("candidate") == later["model"] != adapter.name

        await publish(kafka, TrainingRequested(request_id="on", recipe="further"))
        await publish(kafka, TrainingRequested(request_id="nobody", recipe="none"))
        await first(kafka, "training-requested-dlq", lambda body: body["request_id"] == "nobody")

    # The same request again is the same training, and says so.
    again = [body for body in await everything(kafka, "model-trained") if body["request_id"] == "on"]
    assert again == [later, later] or again == [later]
    said = [body for body in await everything(kafka, "training-progressed") if body["request_id"] == "on"]
    assert [body["status"] for body in said].count("started") == 1
    assert [body["step"] for body in said if body["status"] == "trained"] == [4]
    assert len(registry.versions()) == 2


async def test_what_can_never_be_trained_is_a_dead_letter_with_its_reason(
    kafka: KafkaBus, tmp_path: Path, settings: RetrainingSettings
) -> None:
    assert settings.recipes is not None
    recipe_file(settings.recipes, "greedy", min_rows=1000)
    good = published(tmp_path / "datasets", 12)
    bad = poisoned(good, "dpo", lambda row: {**row, "chosen": [{"role": "assistant", "content": ""}]})
    damaged = tmp_path / "datasets" / f"{'0' * 63}1"
    shutil.copytree(good.folder, damaged)
    expected = {
        "a": ({"recipe": "none"}, 'no recipe "none": there are greedy, quick'),
        "b": ({"recipe": "quick", "dataset": "ffff"}, 'no data set "ffff"'),
        "c": ({"recipe": "greedy", "dataset": good.name}, "wants 1000 or more"),
        "d": ({"recipe": "quick", "dataset": bad.name}, 'line 1: "chosen" must end with what the assistant says'),
        "e": ({"recipe": "quick", "dataset": damaged.name}, f"data set {damaged.name} is damaged"),
    }
    async with serving(kafka, tmp_path, settings):
        for request_id, (fields, _) in expected.items():
            await publish(kafka, TrainingRequested.model_validate({"request_id": request_id, **fields}))
        for request_id, (_, reason) in expected.items():
            letter = await first(kafka, "training-requested-dlq", partial(asked_as, request_id))
            assert reason in (header(letter, "dlq_reason") or b"").decode()
    assert not (tmp_path / "models").exists()
