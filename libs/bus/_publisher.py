"""Turns what a handler says into records: topic by event type and lane, the input's partition, deterministic ids."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from libs.bus._ids import output_id
from libs.bus._work import Work
from libs.bus.envelope import Envelope, encode, headers_for
from libs.bus.memory import Memory
from libs.bus.records import Outgoing, StoredRecord
from libs.bus.routes import Output, To
from libs.bus.transport import Producer
from libs.clock import Clock
from schemas.base import Event
from schemas.topics import topic_of


class Publisher:
    """Writes one stage's outputs and tells its memories of them."""

    def __init__(self, stage: str, producer: Producer, memories: Sequence[Memory], clock: Clock) -> None:
        self._stage = stage
        self._producer = producer
        self._memories = {topic: [m for m in memories if topic in m.topics] for m in memories for topic in m.topics}
        self._clock = clock

    async def publish(
        self, work: Work, output: Output, ordinals: Counter[type[Event]], envelope: Envelope
    ) -> "asyncio.Future[object]":
        """Hands one output over. The future is done when the log has it."""
        event, partition = (output.event, output.partition) if isinstance(output, To) else (output, work.follow)
        self._note_time(event, work)
        event_id = output_id(envelope.id, self._stage, event.TYPE, ordinals[type(event)])
        ordinals[type(event)] += 1
        outgoing = Outgoing(
            topic_of(type(event), work.lane).name,
            event.key.encode(),
            encode(event),
            headers_for(event, event_id, self._stage, now=self._clock(), envelope=envelope, cause=work.record),
            partition,
        )
        self._remember(outgoing, work)
        return await self._producer.send(outgoing)

    async def send(self, outgoing: Outgoing) -> "asyncio.Future[object]":
        """Writes a record that is no event of ours, such as a dead letter."""
        return await self._producer.send(outgoing)

    def _note_time(self, event: Event, work: Work) -> None:
        """Adds this stage's time. In place: the event is not in the log yet, and a copy costs more than the rest."""
        timings: dict[str, float] | None = getattr(event, "timings_ms", None)
        if timings is not None:
            spent = (time.perf_counter() - work.received) * 1000
            timings[self._stage] = round(timings.get(self._stage, 0.0) + spent, 3)

    def _remember(self, outgoing: Outgoing, work: Work) -> None:
        memories = self._memories.get(outgoing.topic)
        if not memories:
            return
        partition = work.record.partition if outgoing.partition is None else outgoing.partition
        record = StoredRecord(
            outgoing.topic,
            partition,
            -1,
            int(self._clock().timestamp() * 1000),
            outgoing.key,
            outgoing.value,
            outgoing.headers,
        )
        for memory in memories:
            memory.recall(record)
