"""What is read, and what is not held against anybody: ranges, retention, what is in flight, what came before."""

import json
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from libs.audit import Extent, Report, Scope, Span, check, check_records
from libs.audit._path import TOPICS
from libs.bus import InMemoryBus, Record, StoredRecord, TopicPartition
from schemas.base import Lane
from tests.support.audit_log import START_MS, Asked, Log, answer, sound_log, steps

NOW = datetime.fromtimestamp(START_MS / 1000, UTC) + timedelta(days=2)
HOUR = 3_600_000


class Kept(InMemoryBus):
    """The log in memory as a broker would hold it: times and offsets are the records', the head may be cut off."""

    def __init__(self, records: list[StoredRecord], *, cut: Mapping[str, int] | None = None) -> None:
        super().__init__(dict.fromkeys(TOPICS, 2))
        self._cut = cut or {}
        for record in sorted(records, key=lambda record: record.offset):
            self._log[TopicPartition(record.topic, record.partition)].append(record)

    async def start_offsets(self, topic: str) -> Mapping[int, int]:
        return dict.fromkeys(await self.partitions(topic), self._cut.get(topic, 0))

    async def read(
        self,
        topic: str,
        partition: int,
        *,
        start: int | None = None,
        since_ms: int | None = None,
        end: int | None = None,
    ) -> AsyncGenerator[Record, None]:
        start = max(start or 0, self._cut.get(topic, 0))
        async for record in super().read(topic, partition, start=start, since_ms=since_ms, end=end):
            yield record


async def checked(
    log: Log, scope: Scope | None = None, *, cut: Mapping[str, int] | None = None, now: datetime = NOW
) -> Report:
    """Everything is handled."""
    bus = Kept(log.records, cut=cut)

    async def commits() -> Mapping[tuple[str, int], int]:
        return {(topic, p): end for topic in TOPICS for p, end in (await bus.end_offsets(topic)).items()}

    return await check(bus, scope, commits=commits, clock=lambda: now)


def moment(after_ms: int) -> datetime:
    return datetime.fromtimestamp((START_MS + after_ms) / 1000, UTC)


def late(log: Log, hours: int) -> None:
    """Time goes on."""
    log._now = START_MS + hours * HOUR


def lost(prompt_id: str) -> Asked:
    return Asked(prompt_id, conversation="c")


async def test_both_lanes_and_all_partitions_are_read() -> None:
    everyone = [Asked(f"p-{n}", lane=lane, partition=n % 2) for n, lane in enumerate([*Lane] * 4)]
    report = await checked(sound_log(everyone))
    assert report.sound
    assert (report.prompts.judged, report.prompts.answered) == (8, 8)


async def test_progress_is_told_and_nothing_is_written() -> None:
    told: list[tuple[int, int]] = []

    class Watching:
        def advance(self, done: int, of: int, note: str = "") -> None:
            told.append((done, of))

    log = sound_log([Asked(f"p-{n}") for n in range(100)])
    bus = Kept(log.records)
    await check(bus, clock=lambda: NOW, progress=Watching())
    assert told[0] == (500, 700)
    assert sum(len(bus.records(topic)) for topic in TOPICS) == len(log.records)


async def test_a_range_judges_the_prompts_that_were_submitted_in_it() -> None:
    log = Log()
    log.submit(lost("p-early"))
    late(log, 2)
    log.submit(lost("p-middle"))
    answer(log, Asked("p-answered"))
    late(log, 4)
    log.submit(lost("p-late"))
    report = await checked(log, Scope(moment(HOUR), moment(3 * HOUR)))
    assert [finding.prompt_id for finding in report.findings] == ["p-middle"]
    assert (report.prompts.judged, report.prompts.answered, report.prompts.outside) == (2, 1, 0)


async def test_an_outcome_whose_prompt_came_before_the_range_is_outside_and_no_damage() -> None:
    log = Log()
    way = steps(log, Asked("p-1"))
    for _ in range(4):
        next(way)
    late(log, 2)
    list(way)
    report = await checked(log, Scope(since=moment(HOUR)))
    assert report.sound
    assert (report.prompts.judged, report.prompts.outside) == (0, 1)


async def test_a_prompt_that_came_again_has_its_outcome_from_before_the_range() -> None:
    log = sound_log([Asked("p-1")])
    late(log, 2)
    log.submit(Asked("p-1"))
    log.submit(Asked("p-2"))
    report = await checked(log, Scope(since=moment(HOUR)))
    assert [finding.prompt_id for finding in report.findings] == ["p-2"]
    assert report.prompts.outside == 1


async def test_clocks_may_differ_by_minutes() -> None:
    log = sound_log([Asked("p-1")])
    submitted = log.of("prompt-submitted")[0]
    log.replace(submitted, timestamp=START_MS + 60_000)
    report = await checked(log, Scope(since=moment(30_000)))
    assert report.sound
    assert report.prompts.answered == 1


@pytest.mark.parametrize("topic", ["prompt-submitted", "prompt-grounded", "completion-cleared"])
async def test_what_retention_has_cut_off_is_no_damage(topic: str) -> None:
    log = sound_log([Asked(f"p-{n}", conversation="c") for n in range(10)])
    report = await checked(log, cut={topic: 4})
    assert report.sound
    assert report.prompts.outside == (4 if topic == "prompt-submitted" else 0)


async def test_a_prompt_older_than_the_oldest_outcome_is_not_lost_but_outside() -> None:
    log = sound_log([Asked(f"p-{n}") for n in range(10)])
    report = await checked(log, cut={"response-ready": 4})
    assert report.sound
    assert (report.prompts.judged, report.prompts.outside) == (6, 4)


async def test_a_prompt_lost_after_retention_has_cut_everything_is_still_lost() -> None:
    log = sound_log([Asked(f"p-{n}") for n in range(3)])
    late(log, 8 * 24)
    log.submit(lost("p-lost"))
    report = await checked(log, cut={"response-ready": 3}, now=moment(9 * 24 * HOUR))
    assert [finding.prompt_id for finding in report.of("lost")] == ["p-lost"]


def span_of(log: Log, **handled: int) -> Span:
    """The whole log, with readers that have come so far (`_` for `-`), all others at the end."""
    extents = {(topic, 0): Extent(0, len(log.of(topic))) for topic in TOPICS}
    ends = {place: extent.end for place, extent in extents.items()}
    return Span(extents, ends | {(name.replace("_", "-"), 0): offset for name, offset in handled.items()}, NOW)


def test_what_waits_for_its_reader_is_in_flight_however_old() -> None:
    log = sound_log([Asked("p-1")])
    way = steps(log, Asked("p-2"))
    for _ in range(3):
        next(way)
    report = check_records(log.records, span_of(log, prompt_grounded=1))
    assert report.sound
    assert (report.prompts.in_flight, report.prompts.overdue) == (1, 1)
    assert report.waiting_for == {"safety": 1}
    assert report.topics["prompt-grounded"].waiting == 1
    assert report.oldest_in_flight is not None


def test_what_its_reader_is_done_with_is_lost_however_young() -> None:
    log = sound_log([Asked("p-1")])
    way = steps(log, Asked("p-2"))
    for _ in range(3):
        next(way)
    report = check_records(log.records, span_of(log))
    assert [finding.says for finding in report.findings] == [
        "the prompt has no outcome; safety is done with prompt-grounded/0/1, its last event"
    ]


def test_garbage_that_waits_for_its_reader_is_in_flight() -> None:
    log = Log()
    log.put("prompt-submitted", b"\xff")
    assert check_records(log.records, span_of(log, prompt_submitted=0)).sound
    assert not check_records(log.records, span_of(log)).sound


async def test_where_nobody_tells_what_is_done_age_decides() -> None:
    log = Log()
    log.submit(lost("p-old"))
    log._now = START_MS + 10 * 60_000
    log.submit(lost("p-young"))
    bus = Kept(log.records)
    report = await check(bus, clock=lambda: moment(11 * 60_000), grace=timedelta(minutes=5))
    assert not report.by_commits
    assert [finding.prompt_id for finding in report.of("lost")] == ["p-old"]
    assert report.prompts.in_flight == 1


def test_an_id_may_be_asked_again_once_it_is_forgotten() -> None:
    log = sound_log([Asked("p-1")])
    late(log, 25)
    answer(log, Asked("p-1"))
    report = check_records(log.records)
    assert report.sound
    assert report.prompts.asked_again == 1


def test_an_id_must_not_be_answered_again_before_it_is_forgotten() -> None:
    log = sound_log([Asked("p-1")])
    late(log, 23)
    answer(log, Asked("p-1"))
    assert check_records(log.records).counts["doubled"] == 1


async def test_without_its_topics_a_log_cannot_be_checked() -> None:
    with pytest.raises(LookupError, match="no topic"):
        await check(InMemoryBus({"prompt-submitted": 1}), clock=lambda: NOW)


async def test_a_log_that_gives_nothing_is_given_up() -> None:
    class Silent(Kept):
        async def read(self, topic: str, partition: int, **_: object) -> AsyncGenerator[Record, None]:
            await self.arrival(3600)
            yield self.records(topic)[0]

    bus = Silent(sound_log([Asked("p-1")]).records)
    with pytest.raises(TimeoutError):
        await check(bus, clock=lambda: NOW, patience=timedelta(milliseconds=20))


def test_the_json_form_is_stable() -> None:
    log = sound_log([Asked("p-1")])
    log.put("prompt-submitted", b"\xff")
    form = json.loads(json.dumps(check_records(log.records).as_json()))
    assert list(form) == ["sound", "range", "checked_at", "prompts", "in_flight", "counts", "findings", "topics"]
    assert list(form["counts"]) == [
        "lost", "doubled", "uncleared", "altered", "out_of_order", "orphaned", "unaccounted",
    ]  # fmt: skip
    assert form["findings"] == [
        {
            "kind": "unaccounted",
            "tenant": None,
            "prompt_id": None,
            "topic": "prompt-submitted",
            "partition": 0,
            "offset": 1,
            "says": "the record is unreadable; ingestion is done with it, without a trace",
        }
    ]
    assert form["prompts"]["judged"] == 1
    assert form["topics"]["response-ready"]["records"] == 1
