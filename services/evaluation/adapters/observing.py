"""Counts how a candidate does on its share, from the log.

What it has counted lies in one file with how far it has read: after a crash it goes on, and counts nothing twice.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path

from libs.bus import Bus, Record, Rejected, decode, write_once
from libs.bus.failures import Failure, dead_letter
from libs.files import write_whole
from libs.model_registry import Turn
from schemas.feedback import ExampleRecorded
from schemas.responses import ResponseReady
from schemas.topics import topic_of
from services.evaluation.domain.canary import Canary
from services.evaluation.domain.trial import Trial
from services.evaluation.domain.watching import Decision, decide

STAGE = "evaluation"
Heard = type[ResponseReady] | type[ExampleRecorded]
HEARD: tuple[Heard, ...] = (ResponseReady, ExampleRecorded)
"""Of the real-time lane: batch work waits for its turn, which is nobody's fault."""


class Observing:
    """One trial, from its first share on."""

    def __init__(self, bus: Bus, file: Path, turns: Sequence[Turn], trial: Trial) -> None:
        self._bus, self._file = bus, file
        self.turns, self.trial = tuple(turns), trial
        self.first = turns[0].revision
        self._changed = False
        self._readers: dict[str, AsyncGenerator[Sequence[Record], None]] = {}

    @classmethod
    async def begin(cls, bus: Bus, folder: Path, turns: Sequence[Turn]) -> "Observing":
        """Goes on where it was, or begins with the answers since the candidate's first share."""
        first = turns[0]
        assert first.model is not None
        file = folder / f"{first.revision}-{first.model}.json"
        trial = await asyncio.to_thread(_kept, file)
        if trial is None:
            trial = Trial(model=first.model, champion=first.champion)
            for kind in HEARD:
                topic = topic_of(kind).name
                trial.positions[topic] = await _since(bus, topic, int(first.at.timestamp() * 1000))
        return cls(bus, file, turns, trial)

    async def judge(self, plan: Canary, now: datetime) -> Decision:
        """Of all that the log holds now."""
        for kind in HEARD:
            await self._read(kind, plan, now)
        if self._changed:
            await self.keep()
        return await asyncio.to_thread(decide, plan, self.turns, self.trial, now)

    async def keep(self) -> None:
        """On disk when it returns."""
        await asyncio.to_thread(write_whole, self._file, self.trial.model_dump_json(), durable=True)
        self._changed = False

    async def leave(self) -> None:
        """Closes what it reads with."""
        readers, self._readers = self._readers, {}
        for reader in readers.values():
            await reader.aclose()

    async def _read(self, kind: Heard, plan: Canary, now: datetime) -> None:
        topic = topic_of(kind).name
        positions = self.trial.positions[topic]
        ends = await self._bus.end_offsets(topic)
        while any(positions.get(partition, 0) < end for partition, end in ends.items()):
            records = await self._next(topic, {partition: positions.get(partition, 0) for partition in ends})
            if not records:
                # What is missing has expired, or comes with the next look.
                return
            for record in records:
                try:
                    self._take(record, kind, plan)
                except Rejected as rejection:
                    failure = Failure(rejection.code, str(rejection), STAGE, rejected=True)
                    await write_once(self._bus, dead_letter(record, failure, now=now))
                positions[record.partition] = record.offset + 1
            self._changed = True

    async def _next(self, topic: str, starts: Mapping[int, int]) -> Sequence[Record]:
        reader = self._readers.get(topic)
        if reader is None:
            reader = self._readers[topic] = self._bus.follow(topic, starts)
        try:
            return await anext(reader)
        except BaseException:
            # It is over with it; the next look opens another one, from what was counted on.
            self._readers.pop(topic, None)
            raise

    def _take(self, record: Record, kind: Heard, plan: Canary) -> None:
        event = decode(record, kind) if record.value is not None else None
        if isinstance(event, ResponseReady):
            self.trial.take_outcome(event, self.turns, plan.clearly)
        elif event is not None:
            self.trial.take_example(event, self.turns)


async def _since(bus: Bus, topic: str, at_ms: int) -> dict[int, int]:
    """The offset of each partition's first record since then."""
    found = dict(await bus.end_offsets(topic))
    for partition, end in found.items():
        async with aclosing(bus.read(topic, partition, since_ms=at_ms, end=end)) as records:
            async for record in records:
                found[partition] = record.offset
                break
    return found


def _kept(file: Path) -> Trial | None:
    try:
        return Trial.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
