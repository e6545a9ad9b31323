"""Trainings are asked for by rows and by the clock: once each, also after a crash."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.bus import InMemoryBus, Retryable, decode, read_envelope
from libs.datasets import Dataset, Datasets, Policy, announcement
from libs.datasets.policy import Splits
from schemas.training import TrainingRequested
from services.retraining.adapters.run_folder import RunFolder
from services.retraining.adapters.schedule import Schedule
from services.retraining.domain.job import Job, run_id_of
from services.retraining.domain.recipe import Recipe, When
from services.retraining.handlers import ask_for_trainings
from tests.support.examples import example, judged

POLICY = Policy(name="test", version=1, near_duplicates=None, splits=Splits(train=1, validation=0, test=0))
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


def recipe(name: str = "mine", **when: Any) -> Recipe:
    return Recipe(name=name, version=1, method="kto", when=When(**when))


class Place:
    """Data sets, what is remembered, a log, and a clock that is set by hand."""

    def __init__(self, bus: InMemoryBus, folder: Path) -> None:
        self.bus, self.now = bus, MIDNIGHT
        self.datasets, self.memory = Datasets(folder / "datasets"), RunFolder(folder / "runs")

    def publish(self, numbers: Iterable[int]) -> Dataset:
        told = [
            example(f"r-{n}", judged("thumb", True, feedback_id=f"f-{n}"), asked=f"What is {n}?", text=f"It is {n}.")
            for n in numbers
        ]
        return self.datasets.publish(told, POLICY).dataset

    async def hear(self, dataset: Dataset, *recipes: Recipe) -> tuple[TrainingRequested, ...]:
        given = {it.name: it for it in recipes}
        event = announcement(self.datasets, dataset)
        return await ask_for_trainings(event, recipes=given, datasets=self.datasets, memory=self.memory)

    def schedule(self, *recipes: Recipe, memory: RunFolder | None = None) -> Schedule:
        look = timedelta(hours=1)
        return Schedule(self.bus, recipes, self.datasets, memory or self.memory, lambda: self.now, look=look)

    @property
    def asked(self) -> list[TrainingRequested]:
        return [decode(record, TrainingRequested) for record in self.bus.records("training-requested")]


@pytest.fixture
def place(in_memory: InMemoryBus, tmp_path: Path) -> Place:
    return Place(in_memory, tmp_path)


async def test_a_recipe_asks_once_a_data_set_has_enough_rows_that_it_did_not_have(place: Place) -> None:
    first = place.publish(range(3))
    assert await place.hear(first, recipe(rows=4)) == ()
    (request,) = await place.hear(first, recipe(rows=3))
    assert (request.recipe, request.dataset, request.reason) == ("mine", first.name, "rows")
    assert request.request_id == f"rows-mine-{first.name[:32]}"
    assert place.memory.asked("mine") == first.name
    assert await place.hear(place.publish(range(5)), recipe(rows=3)) == ()
    assert place.memory.asked("mine") == first.name
    grown = place.publish(range(1, 6))
    assert [it.dataset for it in await place.hear(grown, recipe(rows=3))] == [grown.name]


async def test_the_same_data_set_heard_again_leads_to_the_same_request(place: Place) -> None:
    dataset = place.publish(range(3))
    assert await place.hear(dataset, recipe(rows=3)) == await place.hear(dataset, recipe(rows=3)) != ()


async def test_a_data_set_that_somebody_asked_for_already_is_not_asked_for_again(place: Place) -> None:
    dataset = place.publish(range(3))
    place.memory.note_asked("mine", dataset.name)
    assert await place.hear(dataset, recipe(rows=1)) == ()


async def test_each_recipe_counts_for_itself_and_one_without_a_number_never_asks(place: Place) -> None:
    dataset = place.publish(range(3))
    place.memory.note_asked("full", dataset.name)
    later = place.publish(range(4))
    asking = recipe("hungry", rows=4), recipe("full", rows=2), recipe("quiet"), recipe("timed", cron="0 3 * * *")
    assert [it.recipe for it in await place.hear(later, *asking)] == ["hungry"]
    assert place.memory.asked("quiet") is None


async def test_all_rows_are_new_once_the_data_set_of_before_is_gone(place: Place) -> None:
    place.memory.note_asked("mine", "0" * 64)
    assert len(await place.hear(place.publish(range(3)), recipe(rows=3))) == 1


async def test_a_data_set_whose_folder_is_not_there_yet_is_tried_again(place: Place) -> None:
    dataset = place.publish(range(3))
    event = announcement(place.datasets, dataset)
    dataset.folder.rename(place.datasets.folder / "elsewhere")
    given = {"recipes": {"mine": recipe(rows=1)}, "datasets": place.datasets, "memory": place.memory}
    with pytest.raises(Retryable, match="no data set"):
        await ask_for_trainings(event, **given)  # type: ignore[arg-type]
    assert place.memory.asked("mine") is None


def job(folder: Path, **fields: Any) -> Job:
    told = {"run_id": run_id_of("q-1"), "request_id": "q-1", "seed": 7, "dataset": "a" * 64, "base": "smol"}
    folders = {"datasets": folder / "datasets", "models": folder / "models"}
    return Job(recipe=recipe(rows=2), **{**told, **folders, **fields})


def test_a_job_is_fixed_when_it_begins_and_stays_so_for_the_next_process(tmp_path: Path) -> None:
    memory = RunFolder(tmp_path / "runs")
    assert memory.job(run_id_of("q-1")) is None
    first = memory.begin(job(tmp_path))
    assert memory.begin(job(tmp_path, seed=8, dataset="b" * 64)) == first == job(tmp_path)
    reopened = RunFolder(tmp_path / "runs")
    assert reopened.job(first.run_id) == reopened.begin(job(tmp_path, seed=9)) == first
    assert reopened.asked("mine") == "a" * 64
    assert reopened.asked("other") is None


def test_data_set_and_tick_of_a_recipe_are_remembered_beside_each_other(tmp_path: Path) -> None:
    memory = RunFolder(tmp_path)
    assert (memory.asked("mine"), memory.ticked("mine")) == (None, None)
    memory.note_ticked("mine", MIDNIGHT)
    memory.note_asked("mine", "d-1")
    memory.note_asked("other", "d-2")
    reopened = RunFolder(tmp_path)
    assert (reopened.asked("mine"), reopened.ticked("mine")) == ("d-1", MIDNIGHT)
    assert (reopened.asked("other"), reopened.ticked("other")) == ("d-2", None)


async def test_the_clock_asks_at_a_tick_and_not_before_or_twice(place: Place) -> None:
    dataset = place.publish(range(3))
    schedule = place.schedule(recipe(cron="30 3 * * *"), recipe("quiet", rows=1))
    await schedule.look()
    assert place.asked == []
    for minutes, count in ((209, 0), (1, 1), (0, 1), (5, 1)):
        place.now += timedelta(minutes=minutes)
        await schedule.look()
        assert len(place.asked) == count
    (request,) = place.asked
    assert request.request_id == "schedule-mine-20260301T0330Z"
    assert (request.recipe, request.dataset, request.reason) == ("mine", dataset.name, "schedule")


async def test_ticks_of_a_zone_are_named_in_utc(place: Place) -> None:
    place.publish(range(3))
    schedule = place.schedule(recipe(cron="30 3 * * *", timezone="Europe/Berlin"))
    await schedule.look()
    place.now += timedelta(hours=2, minutes=30)
    await schedule.look()
    assert [it.request_id for it in place.asked] == ["schedule-mine-20260301T0230Z"]


async def test_ticks_that_were_missed_are_made_up_for_once_also_by_another_process(place: Place) -> None:
    place.publish(range(3))
    await place.schedule(recipe(cron="30 3 * * *")).look()
    place.now += timedelta(days=3, hours=12)
    again = place.schedule(recipe(cron="30 3 * * *"))
    await again.look()
    await again.look()
    assert [it.request_id for it in place.asked] == ["schedule-mine-20260304T0330Z"]


async def test_the_clock_asks_for_no_data_set_twice_and_for_none_where_there_is_none(place: Place) -> None:
    schedule = place.schedule(recipe(cron="30 3 * * *"))
    await schedule.look()
    place.now += timedelta(days=1)
    await schedule.look()
    place.memory.note_asked("mine", place.publish(range(3)).name)
    place.now += timedelta(days=1)
    await schedule.look()
    assert place.asked == []
    newer = place.publish(range(4))
    await schedule.look()
    assert place.asked == []
    place.now += timedelta(days=1)
    await schedule.look()
    assert [it.dataset for it in place.asked] == [newer.name]


class FullDisk(RunFolder):
    """Takes the first tick, and no other before there is room."""

    room = 1

    def note_ticked(self, recipe: str, tick: datetime) -> None:
        if self.room == 0:
            raise OSError("no space left on device")
        self.room -= 1
        super().note_ticked(recipe, tick)


async def test_a_crash_between_saying_and_noting_leads_to_the_same_request(place: Place) -> None:
    place.publish(range(3))
    memory = FullDisk(place.memory.folder)
    schedule = place.schedule(recipe(cron="30 3 * * *"), memory=memory)
    await schedule.look()
    place.now += timedelta(hours=4)
    with pytest.raises(OSError, match="no space"):
        await schedule.look()
    assert len(place.asked) == 1
    memory.room = 1
    place.now += timedelta(minutes=1)
    await schedule.look()
    await schedule.look()
    first, second = place.bus.records("training-requested")
    assert (first.key, first.value, read_envelope(first).id) == (second.key, second.value, read_envelope(second).id)
