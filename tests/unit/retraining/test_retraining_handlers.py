"""A request becomes an adapter, progress and an event, through a stage, with a trainer that takes no time."""

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from libs.bus import InMemoryBus, Outgoing, Retryable, Route, Stage, decode, encode
from libs.datasets import Dataset, Datasets, Policy
from libs.datasets.policy import Splits
from libs.model_registry import Adapters, Base, Change, ModelCard, Trained
from schemas.training import ModelTrained, TrainingProgressed, TrainingRequested
from services.retraining.adapters.run_folder import RunFolder
from services.retraining.domain.job import Ended, Job, Report, run_id_of
from services.retraining.domain.recipe import Recipe
from services.retraining.routes import routes
from tests.support.examples import example, judged
from tests.support.stages import at_work

POLICY = Policy(name="test", version=1, near_duplicates=None, splits=Splits(train=1, validation=0, test=0))
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
AT_MS = int(NOON.timestamp() * 1000)
RECIPE = Recipe(name="mine", version=3, method="kto")


class InstantTrainer:
    """Reports, and puts a tiny adapter among the others; its `hurdles` come first, one at each attempt."""

    def __init__(self, adapters: Adapters, reports: int = 5) -> None:
        self.adapters, self.reports = adapters, reports
        self.jobs: list[Job] = []
        self.hurdles: list[Exception | list[Ended]] = []

    async def train(self, job: Job) -> AsyncGenerator[Report | Ended]:
        self.jobs.append(job)
        if self.hurdles:
            hurdle = self.hurdles.pop(0)
            if isinstance(hurdle, Exception):
                raise hurdle
            for ended in hurdle:
                yield ended
            return
        statuses: Sequence[Any] = ["started", *["training"] * self.reports, "trained"]
        for step, status in enumerate(statuses):
            yield Report(status=status, step=step, steps=9, metrics={"loss": 1 / (step + 1)}, at_ms=AT_MS + step * 1000)
        yield Ended(model=self._adapter(job), version="4")

    def _adapter(self, job: Job) -> str:
        work = self.adapters.folder.parent / "work"
        work.mkdir(exist_ok=True)
        save_file({"lora_A": torch.full((2, 2), float(job.seed))}, work / "adapter_model.safetensors")
        (work / "adapter_config.json").write_text(json.dumps({"r": 2, "run": job.run_id}))
        return self.adapters.add(work, job.recipe.name, lambda name, digest: _card(job, name, digest)).name


def _card(job: Job, name: str, digest: str) -> ModelCard:
    return ModelCard(
        name=name, digest=digest, run_id=job.run_id, request_id=job.request_id, recipe=job.recipe.label,
        method=job.recipe.method, rules=job.recipe.model_dump(mode="json"), base=Base(name=job.base, digest="5" * 64),
        started_from="mine-111111111111", seed=job.seed, workers=1, device="cpu", libraries={}, trained_at=NOON,
        trained=Trained(dataset=job.dataset, policy="test@1-a", train=41, replayed=6, validation=2),
        change=Change(steps=9, epochs=3, seconds=4, metrics={"train_loss": 0.25}),
    )  # fmt: skip


class Place:
    """A data set, the folders, a log, and the service's own routes."""

    def __init__(self, bus: InMemoryBus, folder: Path) -> None:
        self.bus, self.folder, self.every = bus, folder, timedelta(hours=1)
        self.datasets, self.memory = Datasets(folder / "datasets"), RunFolder(folder / "runs")
        self.adapters = Adapters(folder / "models")
        self.trainer = InstantTrainer(self.adapters)

    def publish(self, count: int) -> Dataset:
        told = [
            example(f"r-{n}", judged("thumb", True, feedback_id=f"f-{n}"), text=f"It is {n}.") for n in range(count)
        ]
        return self.datasets.publish(told, POLICY).dataset

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        given: dict[str, Any] = {"trainer": self.trainer, "make_job": self._job, "adapter": self.adapters.open}
        told: tuple[Route, ...] = routes(
            {"mine": RECIPE, "other": RECIPE.model_copy(update={"name": "other"})}, self.datasets, self.memory,
            timedelta(minutes=1), progress_every=self.every, **given,
        )  # fmt: skip
        stage = Stage("retraining", self.bus, told, jitter=lambda: 0.0)
        async with at_work(stage):
            yield

    def _job(self, event: TrainingRequested, recipe: Recipe, dataset: Dataset) -> Job:
        return Job(
            run_id=run_id_of(event.request_id), request_id=event.request_id, recipe=recipe, seed=event.seed or 7,
            dataset=dataset.name, datasets=self.datasets.folder, models=self.adapters.folder, base="smol",
        )  # fmt: skip

    async def request(self, request_id: str = "q-1", recipe: str = "mine", **fields: Any) -> None:
        event = TrainingRequested(request_id=request_id, recipe=recipe, **fields)
        await self.bus.append(Outgoing("training-requested", event.key.encode(), encode(event)))

    async def until(self, topic: str, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.bus.records(topic)) < count:
                await self.bus.arrival(0.01)

    @property
    def trained(self) -> list[ModelTrained]:
        return [decode(record, ModelTrained) for record in self.bus.records("model-trained")]

    @property
    def progress(self) -> list[TrainingProgressed]:
        return [decode(record, TrainingProgressed) for record in self.bus.records("training-progressed")]

    @property
    def refusals(self) -> list[str]:
        return [dict(it.headers)["dlq_reason"].decode() for it in self.bus.records("training-requested-dlq")]


@pytest.fixture
def place(in_memory: InMemoryBus, tmp_path: Path) -> Place:
    return Place(in_memory, tmp_path)


async def test_a_request_becomes_an_adapter_and_an_event_that_says_what_its_card_says(place: Place) -> None:
    dataset = place.publish(3)
    await place.request(seed=12)
    async with place.serving():
        await place.until("model-trained", 1)
    (adapter,), (trained,) = place.adapters.list(), place.trained
    assert trained == ModelTrained(
        model=adapter.name, version="4", run_id=run_id_of("q-1"), request_id="q-1", recipe=RECIPE.label, method="kto",
        base="smol", started_from="mine-111111111111", dataset=dataset.name, rows=41, replayed=6, seed=12, steps=9,
        metrics={"train_loss": 0.25}, trained_at=NOON,
    )  # fmt: skip
    assert place.memory.asked("mine") == dataset.name
    assert place.memory.job(trained.run_id) == place.trainer.jobs[0]


@pytest.mark.parametrize(("every", "steps"), [(timedelta(hours=1), [0, 6]), (timedelta(0), [0, 1, 2, 3, 4, 5, 6])])
async def test_progress_is_said_at_both_ends_and_between_them_not_too_often(
    place: Place, every: timedelta, steps: list[int]
) -> None:
    place.every = every
    dataset = place.publish(3)
    await place.request()
    async with place.serving():
        await place.until("model-trained", 1)
    assert [it.step for it in place.progress] == steps
    first, last = place.progress[0], place.progress[-1]
    assert (first.status, first.at, first.steps, first.metrics) == ("started", NOON, 9, {"loss": 1.0})
    assert (last.status, last.at, last.metrics) == ("trained", NOON + timedelta(seconds=6), {"loss": 1 / 7})
    assert {(it.run_id, it.request_id, it.recipe, it.dataset) for it in place.progress} == {
        (run_id_of("q-1"), "q-1", "mine", dataset.name)
    }


async def test_the_same_request_again_is_the_same_training_whatever_data_sets_there_are_by_then(
    place: Place,
) -> None:
    dataset = place.publish(3)
    await place.request()
    async with place.serving():
        await place.until("model-trained", 1)
        place.publish(4)
        await place.request()
        await place.until("model-trained", 2)
        shutil.rmtree(place.datasets.folder)
        await place.request()
        await place.until("model-trained", 3)
    first, second, third = place.trained
    assert first == second == third
    assert [job.dataset for job in place.trainer.jobs] == [dataset.name] * 3
    assert [path.name for path in place.memory.folder.iterdir() if path.is_dir()] == [first.run_id]


async def test_a_request_names_its_data_set_by_its_first_digits(place: Place) -> None:
    older = place.publish(3)
    place.publish(4)
    await place.request(dataset=older.name[:8])
    async with place.serving():
        await place.until("model-trained", 1)
    assert place.trained[0].dataset == older.name


async def test_what_can_never_be_trained_is_a_dead_letter_with_the_reason(place: Place) -> None:
    place.publish(3)
    place.trainer.hurdles = [[Ended(refused="3 rows, and mine wants 16")]]
    await place.request("q-1", "nothing")
    await place.request("q-2", dataset="0000")
    await place.request("q-3")
    await place.request("q-4")
    async with place.serving():
        await place.until("model-trained", 1)
        await place.until("training-requested-dlq", 3)
    assert sorted(it.split(";")[0] for it in place.refusals) == [
        "3 rows, and mine wants 16",
        f'no data set "0000" in {place.datasets.folder}',
        'no recipe "nothing": there are mine, other',
    ]
    assert [job.request_id for job in place.trainer.jobs] == ["q-3", "q-4"]
    assert [it.request_id for it in place.trained] == ["q-4"]


async def test_a_training_that_has_to_wait_is_tried_again_as_the_same_job(place: Place) -> None:
    place.publish(3)
    place.trainer.hurdles = [Retryable("the registry is away")]
    await place.request()
    async with place.serving():
        await place.until("model-trained", 1)
    first, second = place.trainer.jobs
    assert first == second
    assert place.refusals == []


async def test_a_trainer_that_ends_without_a_word_leaves_no_model(place: Place) -> None:
    place.publish(3)
    place.trainer.hurdles = [[]]
    await place.request()
    async with place.serving():
        await place.until("training-requested-dlq", 1)
    assert (place.trained, place.refusals) == ([], ["it ended without a word"])
