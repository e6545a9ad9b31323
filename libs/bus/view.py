"""Views of the log: all partitions of a topic, read from the beginning (or from where the last run ended), no group.

A view is ready once it has caught up with the end the topic had when it started. What it builds can be thrown away
and built again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from libs.bus.envelope import decode
from libs.bus.errors import Rejected, Retryable
from libs.bus.failures import Failure, dead_letter
from libs.bus.observer import Observer, SilentObserver
from libs.bus.once import write_once
from libs.bus.records import Record
from libs.bus.transport import Bus
from libs.clock import Clock, utc_now
from schemas.base import Event
from schemas.topics import topic_of

E = TypeVar("E", bound=Event)
Apply = Callable[[E, Record], Awaitable[None]]


@dataclass(frozen=True)
class View(Generic[E]):
    """Events of one type, applied in order per partition.

    `positions` says where to go on: the next offset of each partition, as the store that `apply` fills has it.
    """

    event: type[E]
    apply: Apply[E]
    positions: Callable[[], Mapping[int, int]] = dict


class ViewReader(Generic[E]):
    """Keeps one view up to date until it is cancelled."""

    def __init__(
        self, stage: str, bus: Bus, view: View[E], *, observer: Observer | None = None, clock: Clock = utc_now
    ) -> None:
        self._stage = stage
        self._bus = bus
        self._view = view
        self._observer = observer or SilentObserver()
        self._clock = clock
        self._behind: dict[int, int] | None = None

    @property
    def topic(self) -> str:
        """What is read."""
        return topic_of(self._view.event).name

    @property
    def ready(self) -> bool:
        """Whether the view has caught up with what the topic held at the start."""
        return self._behind is not None and not self._behind

    async def run(self) -> None:
        """Reads for ever."""
        topic = self.topic
        ends = await self._bus.end_offsets(topic)
        oldest = await self._bus.start_offsets(topic)
        known = self._view.positions()
        starts = {p: min(max(known.get(p, 0), oldest[p]), end) for p, end in ends.items()}
        self._behind = {p: end for p, end in ends.items() if starts[p] < end}
        async for records in self._bus.follow(topic, starts):
            for record in records:
                await self._apply(record)
            self._note_progress({record.partition: record.offset + 1 for record in records})

    def _note_progress(self, reached: Mapping[int, int]) -> None:
        if self._behind:
            self._behind = {p: end for p, end in self._behind.items() if reached.get(p, -1) < end}

    async def _apply(self, record: Record) -> None:
        if record.value is None:
            return
        try:
            event = decode(record, self._view.event)
            await self._until_applied(event, record)
        except Rejected as rejection:
            failure = Failure(rejection.code, str(rejection), self._stage, rejected=True)
            self._observer.gave_up(record, failure.code, failure.message, None)
            await write_once(self._bus, dead_letter(record, failure, now=self._clock()))

    async def _until_applied(self, event: E, record: Record) -> None:
        delay = 0.1
        while True:
            try:
                return await self._view.apply(event, record)
            except Retryable as error:
                self._observer.event("view waits", reason=str(error))
                await asyncio.sleep(delay)
                delay = min(delay * 2, 10.0)
