"""Data sets of the examples on the log, and their announcement there. The one part that knows a bus.

`example-recorded` is compacted by response: a later record stands for all before it, one without a value takes the
example away. Reads without a group; works in threads, so that an event loop goes on meanwhile.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack, aclosing
from functools import partial
from typing import TypeVar

from libs.bus import Bus, Record, Rejected, decode, say
from libs.clock import Clock
from libs.datasets._build import Build, Published
from libs.datasets.announcing import announcement, announcement_id
from libs.datasets.dataset import Dataset
from libs.datasets.policy import Policy
from libs.datasets.store import Datasets
from schemas.feedback import ExampleRecorded, SubjectErased
from schemas.topics import topic_of
from schemas.training import DatasetPublished

EXAMPLES = topic_of(ExampleRecorded).name
_ERASURES = topic_of(SubjectErased).name
_ANNOUNCED = topic_of(DatasetPublished).name
_AT_ONCE = 1000

T = TypeVar("T")
Advance = Callable[[int, int], None]


def _unwatched(_done: int, _of: int) -> None:
    return None


async def publish(bus: Bus, datasets: Datasets, policy: Policy, advance: Advance = _unwatched) -> Published:
    """A data set of all examples that the log holds now. Raises DatasetError.

    `advance` is told how many records of how many are read.
    """
    ends = dict(await bus.end_offsets(EXAMPLES))
    erased = await _erased_subjects(bus)
    with ExitStack() as stack:
        build = await _ended(partial(stack.enter_context, datasets.building(policy)))
        await _read(bus, ends, build, advance)
        return await _ended(partial(build.publish, sources={EXAMPLES: ends}, erased_subjects=erased), build.stop)


async def announce(bus: Bus, datasets: Datasets, dataset: Dataset, by: str, clock: Clock) -> DatasetPublished:
    """Says that the data set is there, unless the log says so already."""
    event = await asyncio.to_thread(announcement, datasets, dataset)
    if not await _is_announced(bus, event):
        await say(bus, event, announcement_id(event), by, clock())
    return event


async def _is_announced(bus: Bus, event: DatasetPublished) -> bool:
    # The name is a hash: nothing else has these bytes.
    name = event.name.encode()
    for partition in await bus.partitions(_ANNOUNCED):
        async with aclosing(bus.read(_ANNOUNCED, partition)) as records:
            async for record in records:
                if record.key == event.key.encode() and b'"name":"%s"' % name in (record.value or b""):
                    return True
    return False


async def _ended(work: Callable[[], T], stop: Callable[[], None] | None = None) -> T:
    """The work's result, from a thread. Cancelled, it stops the work and waits until the thread has let go."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if stop is not None:
            stop()
        await asyncio.gather(task, return_exceptions=True)
        raise


async def _read(bus: Bus, ends: Mapping[int, int], build: Build, advance: Advance) -> None:
    done, whole = 0, sum(ends.values())
    for partition, end in sorted(ends.items()):
        batch: list[Record] = []
        async with aclosing(bus.read(EXAMPLES, partition, end=end)) as records:
            async for record in records:
                batch.append(record)
                if len(batch) >= _AT_ONCE:
                    await _ended(partial(_take, build, batch), build.stop)
                    advance(done + record.offset, whole)
                    batch = []
        await _ended(partial(_take, build, batch), build.stop)
        done += end


def _take(build: Build, records: list[Record]) -> None:
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
    for partition, end in (await bus.end_offsets(_ERASURES)).items():
        async with aclosing(bus.read(_ERASURES, partition, end=end)) as records:
            async for record in records:
                try:
                    event = decode(record, SubjectErased)
                except Rejected:
                    continue
                found.add((event.tenant, event.subject))
    return len(found)
