"""Data sets are published by number and by the clock, once, and told of even after a crash."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.bus import InMemoryBus, Outgoing, decode, encode
from libs.datasets import Datasets, Policy
from libs.datasets.log import publish
from schemas.feedback import ExampleRecorded
from schemas.training import DatasetPublished
from services.feedback.adapters.publisher import Publisher
from services.feedback.domain.publishing import When
from tests.support.examples import example, judged

POLICY = Policy(name="test", version=1)
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


class Place:
    """A log, a folder and a clock that is set by hand."""

    def __init__(self, bus: InMemoryBus, folder: Path) -> None:
        self.bus, self.datasets, self.now = bus, Datasets(folder / "datasets"), MIDNIGHT

    def publisher(self, when: When) -> Publisher:
        look = timedelta(seconds=1)
        return Publisher(self.bus, self.datasets, POLICY, when, lambda: self.now, look=look)

    async def record(self, *names: str, up: bool = True) -> None:
        producer = await self.bus.producer()
        for name in names:
            told: ExampleRecorded = example(name, judged("thumb", up), asked=f"{name}?", text=f"It is {name}.")
            await (await producer.send(Outgoing("example-recorded", name.encode(), encode(told))))
        await producer.stop()

    async def announced(self) -> list[DatasetPublished]:
        found = [
            decode(record, DatasetPublished)
            for partition in await self.bus.partitions("dataset-published")
            async for record in self.bus.read("dataset-published", partition)
        ]
        return sorted(found, key=lambda it: sum(sum(rows.values()) for rows in it.rows.values()))


@pytest.fixture
def place(in_memory: InMemoryBus, tmp_path: Path) -> Place:
    return Place(in_memory, tmp_path)


async def test_enough_new_examples_make_a_data_set_and_too_few_none(place: Place) -> None:
    publisher = place.publisher(When(after=3))
    await place.record("a", "b")
    await publisher.look()
    assert await place.announced() == []
    await place.record("c")
    await publisher.look()
    await publisher.look()
    await place.record("d", "e")
    await publisher.look()
    (event,) = await place.announced()
    assert (event.added, event.previous, sum(event.sources["example-recorded"].values())) == (3, None, 3)
    await place.record("f")
    await publisher.look()
    _, later = await place.announced()
    assert (later.added, later.removed, later.previous) == (3, 0, event.name)


async def test_the_clock_makes_a_data_set_once_a_tick_and_only_of_something_new(place: Place) -> None:
    publisher = place.publisher(When(after=0, cron="30 2 * * *"))
    await place.record("a")
    await publisher.look()
    assert place.datasets.list() == ()
    place.now += timedelta(hours=2, minutes=30)
    await publisher.look()
    assert len(place.datasets.list()) == 1
    place.now += timedelta(days=3)
    await publisher.look()
    assert len(await place.announced()) == 1
    await place.record("b")
    await publisher.look()
    await publisher.look()
    assert len(await place.announced()) == 2


async def test_after_a_restart_nothing_is_made_or_said_twice(place: Place) -> None:
    await place.record("a", "b")
    await place.publisher(When(after=2)).look()
    again = place.publisher(When(after=2))
    await again.look()
    await place.record("c")
    await again.look()
    assert len(place.datasets.list()) == len(await place.announced()) == 1


async def test_what_a_crash_left_unannounced_is_announced_at_the_next_start(place: Place) -> None:
    await place.record("a", "b")
    made = await publish(place.bus, place.datasets, POLICY)
    assert await place.announced() == []
    await place.publisher(When(after=2)).look()
    (event,) = await place.announced()
    assert event.name == made.dataset.name


async def test_examples_that_become_no_row_are_looked_at_once(place: Place) -> None:
    publisher = place.publisher(When(after=1))
    producer = await place.bus.producer()
    await (await producer.send(Outgoing("example-recorded", b"a", encode(example("a")))))
    await publisher.look()
    assert place.datasets.list() == ()
    await place.record("b")
    await publisher.look()
    assert len(place.datasets.list()) == 1


async def test_while_it_is_entered_it_looks_by_itself(place: Place) -> None:
    await place.record("a")
    async with place.publisher(When(after=1)), asyncio.timeout(30):
        while not await place.announced():  # noqa: ASYNC110 - what it waits for is on the log
            await asyncio.sleep(0.01)


async def test_a_stop_in_the_middle_leaves_no_half_data_set(place: Place) -> None:
    await place.record(*(f"r{number}" for number in range(300)))
    work = asyncio.create_task(publish(place.bus, place.datasets, POLICY))
    while not (place.datasets.folder / ".building" / "bench.sqlite").exists():  # noqa: ASYNC110
        await asyncio.sleep(0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert {path.name for path in place.datasets.folder.iterdir()} == {".lock"}
    assert (await publish(place.bus, place.datasets, POLICY)).is_new


@pytest.mark.parametrize(
    ("when", "new", "hours", "due"),
    [
        (When(after=0), 10_000, 10_000, False),
        (When(after=5), 5, 0, True),
        (When(after=5), 4, 10_000, False),
        (When(after=0, cron="0 3 * * *"), 1, 2, False),
        (When(after=0, cron="0 3 * * *"), 1, 3, True),
        (When(after=0, cron="0 3 * * *"), 0, 3, False),
        (When(after=0, cron="0 3 * * *", timezone="Europe/Berlin"), 1, 2, True),
    ],
)
def test_when_a_data_set_is_due(when: When, new: int, hours: int, due: bool) -> None:
    assert when.due(new, MIDNIGHT, MIDNIGHT + timedelta(hours=hours)) is due


@pytest.mark.parametrize(("wrong", "told"), [({"cron": "at noon"}, "30 2"), ({"timezone": "Mars"}, "Europe/Berlin")])
def test_a_time_that_cannot_be_read_is_told_with_a_remedy(wrong: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        When(after=1, **wrong)
