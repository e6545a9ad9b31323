"""Reads a range of the log and has it judged: no group, no commit, no write.

What the services have committed is read first, then the ends of the topics, outcomes before prompts. So what a
reader is done with has its outputs within the range, and what a record rests on lies within the range too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Protocol

from libs.audit._audit import FIRST_READ, Audit
from libs.audit._path import EVENT_TOPICS, LETTER_TOPICS, OUTCOME, SUBMITTED, TOPICS, kind_of
from libs.audit._report import Report
from libs.audit._span import Extent, Scope, Span, millis
from libs.bus import Bus, Record
from libs.clock import Clock, utc_now
from schemas.topics import topic_named

Commits = Callable[[], Awaitable[Mapping[tuple[str, int], int] | None]]
"""The offset that the reader of each topic has committed; None: nobody knows."""
MARGIN = timedelta(minutes=5)
"""How far clocks may differ: so much earlier than the prompts, their events are read."""
_EVERY = 500


class Progress(Protocol):
    """Whoever watches."""

    def advance(self, done: int, of: int, note: str = "") -> None:
        """So many records are done, of so many."""


class _Silent:
    def advance(self, done: int, of: int, note: str = "") -> None:
        return None


async def check(
    bus: Bus,
    scope: Scope | None = None,
    *,
    commits: Commits | None = None,
    grace: timedelta = timedelta(minutes=5),
    patience: timedelta = timedelta(seconds=60),
    keep: int = 100,
    clock: Clock = utc_now,
    progress: Progress | None = None,
) -> Report:
    """The verdict on a range of the log, as it stands now; traffic may flow meanwhile.

    Without `commits` a prompt younger than `grace` counts as in flight. Raises TimeoutError when the log gives nothing
    for as long as `patience`, LookupError where a topic is missing, and the log's own errors.
    """
    span = Span({}, await commits() if commits else None, clock(), grace)
    return await _Check(bus, scope or Scope(), span, patience, keep, progress or _Silent()).run()


class _Check:
    def __init__(self, bus: Bus, scope: Scope, span: Span, patience: timedelta, keep: int, progress: Progress) -> None:
        self._bus, self._scope, self._span = bus, scope, span
        self._patience = patience.total_seconds()
        self._progress = progress
        self._audit = Audit(span, scope, keep=keep)
        self._done = self._of = 0

    async def run(self) -> Report:
        try:
            async with asyncio.timeout(self._patience * 5):
                ends = await self._ends()
                oldest = await _at_once(self._bus.start_offsets, TOPICS)
            self._of = sum(end - oldest[topic][p] for topic, of in ends.items() for p, end in of.items())
            for topic in sorted(TOPICS, key=lambda name: kind_of(name) != FIRST_READ):
                for partition, end in sorted(ends[topic].items()):
                    await self._read(topic, partition, oldest[topic][partition], end)
            await self._settle()
            return self._audit.report()
        finally:
            self._audit.close()

    async def _ends(self) -> dict[str, Mapping[int, int]]:
        """Of dead letters first, then against the stream: what a record rests on has been written by then."""
        ends = await _at_once(self._bus.end_offsets, LETTER_TOPICS)
        for _, topics in groupby(reversed(EVENT_TOPICS), key=kind_of):
            ends |= await _at_once(self._bus.end_offsets, tuple(topics))
        return ends

    async def _read(self, topic: str, partition: int, oldest: int, end: int) -> None:
        since = self._since(topic)
        extent = self._span.extents[topic, partition] = Extent(end, end)
        first: Record | None = None

        def take(record: Record) -> None:
            nonlocal first
            if first is None:
                first, extent.start = record, record.offset
            self._audit.take(record)

        if end > oldest:
            await self._each(topic, partition, since, end, take)
        extent.cut_ms = self._cut(topic, oldest, first, since)

    def _since(self, topic: str) -> datetime | None:
        since = self._scope.since
        return since if since is None or kind_of(topic) == SUBMITTED else since - MARGIN

    def _cut(self, topic: str, oldest: int, first: Record | None, since: datetime | None) -> float | None:
        """Until when records may be missing."""
        by_range = None if since is None else millis(since)
        if oldest == 0 or (first is not None and first.offset > oldest):
            return by_range
        kept = timedelta(milliseconds=topic_named(topic).retention_ms)
        by_retention = millis(self._span.moment - kept) if first is None else first.timestamp
        return max(by_retention, by_range or 0)

    async def _each(
        self, topic: str, partition: int, since: datetime | None, end: int, take: Callable[[Record], None]
    ) -> None:
        since_ms = None if since is None else millis(since)
        async with asyncio.timeout(self._patience) as watch:
            async for record in self._bus.read(topic, partition, since_ms=since_ms, end=end):
                take(record)
                self._done += 1
                if self._done % _EVERY == 0:
                    watch.reschedule(asyncio.get_running_loop().time() + self._patience)
                    self._progress.advance(self._done, self._of, topic)

    async def _settle(self) -> None:
        for done in self._audit.settle():
            self._progress.advance(done, self._audit.taken, "judging")
            await asyncio.sleep(0)
        if self._audit.seems_lost and self._scope.since is not None:
            await self._look_back(self._scope.since - self._span.known_for)

    async def _look_back(self, since: datetime) -> None:
        """A prompt that came again has its outcome from before the range."""
        for (topic, partition), extent in list(self._span.extents.items()):
            if kind_of(topic) == OUTCOME and extent.start > 0:
                await self._each(topic, partition, since, extent.start, self._audit.forgive)


async def _at_once(
    ask: Callable[[str], Awaitable[Mapping[int, int]]], topics: Sequence[str]
) -> dict[str, Mapping[int, int]]:
    return dict(zip(topics, await asyncio.gather(*map(ask, topics)), strict=True))
