"""Makes a data set of the examples on the log, and says so on the log. Reads without a group."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing

from libs.bus import Bus, Outgoing, Record, Rejected, decode, encode, headers_for
from libs.clock import Clock
from libs.datasets import Build, Datasets, Policy, Published, announcement, announcement_id
from schemas.feedback import ExampleRecorded, SubjectErased
from schemas.topics import topic_of
from schemas.training import DatasetPublished
from services.console.handlers.following import recent
from services.console.ports import Progress

_EXAMPLES = topic_of(ExampleRecorded).name
_ERASURES = topic_of(SubjectErased).name
_AT_ONCE = 1000


async def publish(bus: Bus, datasets: Datasets, policy: Policy, progress: Progress) -> Published:
    """A data set of all examples, each in its last state. Raises DatasetError."""
    ends = dict(await bus.end_offsets(_EXAMPLES))
    erased = await _erased_subjects(bus)
    with datasets.building(policy) as build:
        await _read(bus, ends, build, progress)
        return await asyncio.to_thread(build.publish, sources={_EXAMPLES: ends}, erased_subjects=erased)


async def announce(bus: Bus, datasets: Datasets, published: Published, clock: Clock) -> DatasetPublished:
    """Says that it is there. Said twice, it is one event: readers know it by its id."""
    event = await asyncio.to_thread(announcement, datasets, published.dataset)
    headers = headers_for(event, announcement_id(event), "console", now=clock())
    producer = await bus.producer()
    try:
        await (
            await producer.send(Outgoing(topic_of(DatasetPublished).name, event.key.encode(), encode(event), headers))
        )
    finally:
        await producer.stop()
    return event


async def _read(bus: Bus, ends: Mapping[int, int], build: Build, progress: Progress) -> None:
    done, whole = 0, sum(ends.values())
    for partition, end in sorted(ends.items()):
        batch: list[Record] = []
        async with aclosing(bus.read(_EXAMPLES, partition, end=end)) as records:
            async for record in records:
                batch.append(record)
                if len(batch) >= _AT_ONCE:
                    await asyncio.to_thread(_take, build, batch)
                    progress.advance(done + record.offset, whole)
                    batch = []
        await asyncio.to_thread(_take, build, batch)
        done += end


def _take(build: Build, records: list[Record]) -> None:
    """The topic is compacted by response: a later record stands for all before it, one without a value for none."""
    last = {record.key or str(record.offset): record for record in records}
    for record in last.values():
        if record.value is None and record.key is not None:
            build.drop(record.key.decode(errors="replace"))
    build.take(example for record in last.values() if (example := _example(record, build)) is not None)


def _example(record: Record, build: Build) -> ExampleRecorded | None:
    try:
        return None if record.value is None else decode(record, ExampleRecorded)
    except Rejected:
        build.note_unreadable()
        return None


async def _erased_subjects(bus: Bus) -> int:
    """People who were erased, as far back as the log still tells."""
    found = set()
    async for record in recent(bus, _ERASURES, None):
        try:
            event = decode(record, SubjectErased)
        except Rejected:
            continue
        found.add((event.tenant, event.subject))
    return len(found)
