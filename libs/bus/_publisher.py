"""Turns what a handler says into records: topic by event type and lane, the input's partition, deterministic ids."""

import asyncio
import time

from libs.bus._ids import output_id
from libs.bus._memories import Memories
from libs.bus._work import Work
from libs.bus.envelope import Envelope, encode, headers_for
from libs.bus.records import Outgoing, StoredRecord
from libs.bus.routes import Output, To
from libs.bus.transport import Producer
from libs.clock import Clock
from schemas.base import Event
from schemas.topics import MAX_MESSAGE_BYTES, topic_of

_ROOM_FOR_FRAMING = 1024
_SURELY_FITS = MAX_MESSAGE_BYTES // 2
"""A body up to here fits whatever our own headers say, so they need not be measured."""

Ordinals = dict[type[Event], int]
"""How many events of each type were made of one record so far."""


class Publisher:
    """Writes one stage's outputs and tells its memories of them."""

    def __init__(self, stage: str, producer: Producer, memories: Memories, clock: Clock) -> None:
        self._stage = stage
        self._producer = producer
        self._memories = memories
        self._clock = clock

    def prepare(self, work: Work, output: Output, ordinals: Ordinals, envelope: Envelope) -> Outgoing:
        """The record of one output. Raises ValueError where it is too large, KeyError where no topic takes it."""
        event, partition = (output.event, output.partition) if isinstance(output, To) else (output, work.follow)
        self._note_time(event, work)
        ordinal = ordinals.get(type(event), 0)
        ordinals[type(event)] = ordinal + 1
        event_id = output_id(envelope.id, self._stage, event.TYPE, ordinal)
        body = encode(event)
        outgoing = Outgoing(
            topic_of(type(event), work.lane).name,
            event.key.encode(),
            body,
            headers_for(event, event_id, self._stage, now=self._clock(), envelope=envelope, cause=work.record),
            partition,
        )
        if len(body) > _SURELY_FITS and (size := outgoing.size) > MAX_MESSAGE_BYTES - _ROOM_FOR_FRAMING:
            raise ValueError(f"{event.TYPE} would take {size} bytes, the broker takes {MAX_MESSAGE_BYTES}")
        return outgoing

    async def send(self, outgoing: Outgoing, work: Work) -> "asyncio.Future[object]":
        """Hands a record over. The future is done when the log has it. Raises LookupError for no such partition."""
        future = await self._producer.send(outgoing)
        if self._memories.concern(outgoing.topic):
            self._memories.recall(self._as_stored(outgoing, work))
        return future

    def _note_time(self, event: Event, work: Work) -> None:
        """Adds this stage's time, in place: a copy of the event inside a reply shall say the same."""
        timings: dict[str, float] | None = getattr(event, "timings_ms", None)
        if timings is not None:
            spent = (time.perf_counter() - work.received) * 1000
            timings[self._stage] = round(timings.get(self._stage, 0.0) + spent, 3)

    def _as_stored(self, outgoing: Outgoing, work: Work) -> StoredRecord:
        partition = work.record.partition if outgoing.partition is None else outgoing.partition
        now = int(self._clock().timestamp() * 1000)
        return StoredRecord(outgoing.topic, partition, -1, now, outgoing.key, outgoing.value, outgoing.headers)
