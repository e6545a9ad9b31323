"""Asking for a training, and hearing how it goes and ends."""

import asyncio
import json

from libs.bus import Bus, Outgoing, Record, encode, header, headers_for
from libs.clock import Clock
from schemas.topics import dead_letter_topic, topic_of
from schemas.training import ModelTrained, TrainingProgressed, TrainingRequested
from services.console.domain.errors import ConsoleError
from services.console.handlers.following import first_failure, tell_new
from services.console.ports import Progress

_ASK, _PROGRESS, _END = (topic_of(event).name for event in (TrainingRequested, TrainingProgressed, ModelTrained))
_REFUSED = dead_letter_topic(_ASK)


async def ask(bus: Bus, request: TrainingRequested, clock: Clock) -> None:
    """Returns when the log has it."""
    headers = headers_for(request, f"train/{request.request_id}", "console", now=clock())
    producer = await bus.producer()
    try:
        await (await producer.send(Outgoing(_ASK, request.key.encode(), encode(request), headers)))
    finally:
        await producer.stop()


class Following:
    """One training, from its request to its end."""

    def __init__(self, bus: Bus, request: TrainingRequested, progress: Progress, clock: Clock) -> None:
        self._bus, self._request, self._progress, self._clock = bus, request, progress, clock
        self._over = asyncio.Event()
        self._refused: str | None = None
        self._trained: ModelTrained | None = None

    async def run(self) -> ModelTrained:
        """Asks, and waits for the adapter. Raises ConsoleError with the reason where none will come."""
        starts = {topic: await self._bus.end_offsets(topic) for topic in (_PROGRESS, _END, _REFUSED)}
        await ask(self._bus, self._request, self._clock)
        heard = {_PROGRESS: self._hear_progress, _END: self._hear_end, _REFUSED: self._hear_refusal}
        following = (tell_new(self._bus, topic, starts[topic], hear) for topic, hear in heard.items())
        await first_failure(*map(asyncio.create_task, following), asyncio.create_task(self._until_over()))
        if self._trained is None:
            raise ConsoleError(f"no model came of it: {self._refused}")
        return self._trained

    async def _until_over(self) -> None:
        await self._over.wait()

    def _hear_progress(self, record: Record) -> None:
        event = TrainingProgressed.model_validate_json(record.value or b"")
        if event.request_id == self._request.request_id:
            loss = event.metrics.get("loss")
            note = event.status if loss is None else f"{event.status}, loss {loss:.3f}"
            self._progress.advance(event.step, event.steps, note)

    def _hear_end(self, record: Record) -> None:
        event = ModelTrained.model_validate_json(record.value or b"")
        if event.request_id == self._request.request_id:
            self._trained = event
            self._over.set()

    def _hear_refusal(self, record: Record) -> None:
        try:
            body = json.loads(record.value or b"")
        except ValueError:
            return
        if isinstance(body, dict) and body.get("request_id") == self._request.request_id:
            self._refused = (header(record, "dlq_reason") or b"no reason is given").decode(errors="replace")
            self._over.set()
