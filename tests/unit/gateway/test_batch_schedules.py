"""Schedules: which tick is due, one run per tick whatever happens, and what a wrong file leads to."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.gateway.adapters.batch_storage import MemoryStorage
from services.gateway.adapters.schedule_file import ScheduleFile, UnusableScheduleFile, read_schedules
from services.gateway.adapters.schedule_folder import ScheduleFolder
from services.gateway.domain.jobs import StoredFile, result_file_id
from services.gateway.domain.schedules import Schedule
from services.gateway.handlers.batch_schedules import Scheduler

NIGHTLY = """\
schedules:
  - name: nightly
    cron: "30 2 * * *"
    timezone: Europe/Berlin
    input: in/*.jsonl
    results: out
    tenant: acme
"""


class Place:
    """A folder with a file of schedules, a store, and a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.storage = MemoryStorage(lambda: self.now)
        self.file = folder / "schedules.yaml"
        (folder / "in").mkdir()
        (folder / "in" / "b.jsonl").write_text('{"b": 1}')
        (folder / "in" / "a.jsonl").write_text('{"a": 1}\n')
        self.write(NIGHTLY)
        self.start_again()

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def start_again(self) -> None:
        """As after a restart: nothing but the files is left."""
        self.schedules = ScheduleFile(self.file)
        self.scheduler = Scheduler(
            self.schedules, ScheduleFolder(self.folder / "state", self.folder), self.storage.files, self.storage.jobs,
            lambda: self.now, window=timedelta(hours=24), files_last=timedelta(days=1), look=timedelta(seconds=1),
            started=lambda: None,
        )  # fmt: skip

    async def look(self, **later: float) -> int:
        """One look, so much later; how many jobs there are."""
        self.now += timedelta(**later)
        await self.scheduler.look()
        return len(self.storage.jobs.jobs)

    def end_all(self) -> None:
        for key, job in self.storage.jobs.jobs.items():
            self.storage.jobs.jobs[key] = job.moved("completed", self.now)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def test_a_tick_has_one_run_also_after_a_restart(place: Place) -> None:
    assert await place.look() == 0
    assert await place.look(hours=14) == 1
    assert await place.look(seconds=1) == 1
    place.end_all()
    place.start_again()
    assert await place.look(seconds=1) == 1
    [job] = place.storage.jobs.jobs.values()
    assert (job.tenant, job.schedule) == ("acme", "nightly")
    # 02:30 in Berlin, in winter.
    assert job.metadata == {"schedule": "nightly", "tick": "2026-03-02T01:30:00+00:00"}
    assert place.storage.jobs.inputs[job.id] == b'{"a": 1}\n{"b": 1}\n'


async def test_a_run_whose_start_was_not_noted_before_a_crash_is_not_started_again(place: Place) -> None:
    await place.look()
    await place.look(hours=14)
    state = place.folder / "state" / "schedules" / "acme~nightly.json"
    noted = json.loads(state.read_text())
    state.write_text(json.dumps({"seen": "2026-03-01T12:00:00Z"}))
    assert await place.look(seconds=1) == 1
    assert json.loads(state.read_text()) == noted


async def test_runs_missed_while_nobody_was_there_are_one_run(place: Place) -> None:
    await place.look()
    place.start_again()
    assert await place.look(days=5) == 1
    [job] = place.storage.jobs.jobs.values()
    assert job.metadata is not None
    assert job.metadata["tick"] == "2026-03-06T01:30:00+00:00"
    place.end_all()
    assert await place.look(minutes=1) == 1


async def test_a_schedule_that_is_new_makes_up_for_nothing(place: Place) -> None:
    assert await place.look(days=30) == 0


async def test_a_run_waits_for_the_one_before_it_unless_overlap_is_allowed(place: Place) -> None:
    await place.look()
    assert await place.look(days=1) == 1
    assert await place.look(days=3) == 1
    place.end_all()
    assert await place.look(minutes=1) == 2
    place.write(NIGHTLY + "    overlap: allow\n")
    assert await place.look(days=1) == 3


async def test_results_are_put_where_the_schedule_says(place: Place) -> None:
    await place.look()
    await place.look(days=1)
    [(key, job)] = place.storage.jobs.jobs.items()
    workspace = await place.storage.jobs.claim(*key)
    assert workspace is not None
    await workspace.append("output", b'{"answer": 1}\n')
    file_id = result_file_id(job.id, "output")
    file = StoredFile(id=file_id, tenant="acme", bytes=0, created_at=place.now, filename="x", purpose="batch_output")
    await workspace.publish("output", file)
    await workspace.save(job.moved("completed", place.now, output_file_id=file_id, total=1, completed=1))
    await place.look(seconds=1)
    out = place.folder / "out"
    assert (out / "nightly-20260302T013000Z.output.jsonl").read_bytes() == b'{"answer": 1}\n'
    told = json.loads((out / "nightly-20260302T013000Z.status.json").read_text())
    assert (told["status"], told["total"], told["batch"]) == ("completed", 1, job.id)
    assert len(list(out.iterdir())) == 2


async def test_a_tick_without_input_is_told_and_the_next_one_runs(place: Place) -> None:
    for path in (place.folder / "in").iterdir():
        path.unlink()
    await place.look()
    assert await place.look(days=1) == 0
    standing = await ScheduleFolder(place.folder / "state", place.folder).load(place.schedules.schedules[0])
    assert standing is not None
    assert "in/*.jsonl" in (standing.problem or "")
    (place.folder / "in" / "c.jsonl").write_text("{}")
    assert await place.look(days=1) == 1


async def test_the_last_good_schedules_stay_in_force_after_a_bad_change(place: Place) -> None:
    await place.look()
    place.write(NIGHTLY.replace("30 2", "99 2"))
    assert await place.look(days=1) == 1
    assert "line 3" in (place.schedules.problem or "")
    place.write(NIGHTLY)
    await place.look()
    assert place.schedules.problem is None


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('"30 2 * * *"', '"30 2 * *"', 3, "the cron expression cannot be read"),
        ("Europe/Berlin", "Europe/Berln", 4, "IANA name"),
        ("    results: out\n", "", 2, '"results" is missing: add it'),
        ("    tenant: acme", "    tennant: acme", 7, "remove it or mend its name"),
        ("  - name", "  - [name", 3, "no YAML"),
        ("nightly", "Nightly!", 2, '"name"'),
        ("    tenant: acme\n", NIGHTLY[11:].replace("    tenant: acme\n", ""), 7, "the name stands there already"),
    ],
)
def test_a_wrong_file_is_told_with_its_line_and_how_to_mend_it(old: str, new: str, line: int, words: str) -> None:
    text = NIGHTLY.replace(old, new)
    with pytest.raises(UnusableScheduleFile, match=words) as told:
        read_schedules(text.encode(), Path("s.yaml"))
    assert f"s.yaml: line {line}" in str(told.value)


def test_the_hour_that_is_missing_in_spring_and_the_one_that_comes_twice_in_autumn_have_one_tick_each() -> None:
    [schedule] = read_schedules(NIGHTLY.encode(), Path("s.yaml"))
    for start in (datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)):
        ticks: list[datetime] = []
        now = start
        for _ in range(48 * 12):
            now += timedelta(minutes=5)
            due = schedule.due(start if not ticks else ticks[-1], now)
            ticks += [due] if due else []
        assert len(ticks) == 2


def test_a_tick_is_due_at_its_very_moment() -> None:
    schedule = Schedule(name="s", cron="0 * * * *", input="i", results="o")
    tick = datetime(2026, 1, 1, 5, tzinfo=UTC)
    assert schedule.due(tick - timedelta(hours=3), tick) == tick
    assert schedule.due(tick, tick + timedelta(minutes=59)) is None


async def test_two_gateways_that_look_at_the_same_time_start_one_run(place: Place) -> None:
    await place.look()
    other = Scheduler(
        ScheduleFile(place.file), ScheduleFolder(place.folder / "state", place.folder), place.storage.files,
        place.storage.jobs, lambda: place.now, window=timedelta(hours=24), files_last=timedelta(days=1),
        look=timedelta(seconds=1), started=lambda: None,
    )  # fmt: skip
    place.now += timedelta(days=1)
    await asyncio.gather(place.scheduler.look(), other.look())
    assert len(place.storage.jobs.jobs) == 1
