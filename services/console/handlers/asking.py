"""Asking a service for long work by an event, and hearing how it goes and ends."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from libs.bus import Bus, Record, header, say
from libs.clock import Clock
from schemas.base import Event
from schemas.evaluation import (
    EvaluationProgressed,
    EvaluationRequested,
    ModelEvaluated,
    ModelPromoted,
    ModelRolledBack,
    PromotionRequested,
)
from schemas.topics import dead_letter_topic, topic_of
from schemas.training import ModelTrained, TrainingProgressed, TrainingRequested
from services.console.domain.errors import ConsoleError
from services.console.handlers.following import first_failure, tell_new
from services.console.ports import Progress

Request = TrainingRequested | EvaluationRequested | PromotionRequested
R = TypeVar("R", bound=Request)


@dataclass(frozen=True)
class Kind(Generic[R]):
    """A kind of work: what asks for it, what tells of it, what ends it; each has the request's id."""

    verb: str
    ends: tuple[type[Event], ...]
    without: str
    """Told where it came to nothing, before the reason."""
    progress: type[Event] | None = None
    note: Callable[[Any], tuple[int, int, str]] = lambda _: (0, 0, "")
    """Steps done, steps in all, and a word, of a progress event."""


def _training(event: TrainingProgressed) -> tuple[int, int, str]:
    loss = event.metrics.get("loss")
    return event.step, event.steps, event.status if loss is None else f"{event.status}, loss {loss:.3f}"


def _evaluation(event: EvaluationProgressed) -> tuple[int, int, str]:
    return event.step, event.steps, event.exam


TRAINING = Kind[TrainingRequested]("train", (ModelTrained,), "no model came of it", TrainingProgressed, _training)
EVALUATION = Kind[EvaluationRequested](
    "evaluate", (ModelEvaluated,), "it was not examined", EvaluationProgressed, _evaluation
)
PROMOTION = Kind[PromotionRequested](
    "promote", (ModelPromoted, ModelRolledBack, EvaluationRequested), "nothing was changed"
)


def _topic(request: Event) -> str:
    return topic_of(type(request)).name


async def ask(bus: Bus, kind: Kind[R], request: R, clock: Clock) -> None:
    """Returns when the log has it."""
    await say(bus, request, f"{kind.verb}/{request.request_id}", "console", clock())


class Following(Generic[R]):
    """One request, from its being asked to its end."""

    def __init__(self, bus: Bus, kind: Kind[R], request: R, progress: Progress, clock: Clock) -> None:
        self._bus, self._kind, self._request, self._progress, self._clock = bus, kind, request, progress, clock
        self._refusals = dead_letter_topic(_topic(request))
        self._over = asyncio.Event()
        self._refused: str | None = None
        self._end: Event | None = None

    async def run(self) -> Event:
        """Asks, and waits for what came of it. Raises ConsoleError with the reason where nothing will."""
        heard: dict[str, Callable[[Record], None]] = {self._refusals: self._hear_refusal}
        heard |= {topic_of(end).name: self._hearing(end) for end in self._kind.ends}
        if self._kind.progress is not None:
            heard[topic_of(self._kind.progress).name] = self._hear_progress
        starts = {topic: await self._bus.end_offsets(topic) for topic in heard}
        await ask(self._bus, self._kind, self._request, self._clock)
        following: Sequence[Any] = [tell_new(self._bus, topic, starts[topic], hear) for topic, hear in heard.items()]
        await first_failure(*map(asyncio.create_task, following), asyncio.create_task(self._until_over()))
        if self._end is None:
            raise ConsoleError(f"{self._kind.without}: {self._refused}")
        return self._end

    async def _until_over(self) -> None:
        await self._over.wait()

    def _hear_progress(self, record: Record) -> None:
        assert self._kind.progress is not None
        event: Any = self._kind.progress.model_validate_json(record.value or b"")
        if event.request_id == self._request.request_id:
            self._progress.advance(*self._kind.note(event))

    def _hearing(self, end: type[Event]) -> Callable[[Record], None]:
        def hear(record: Record) -> None:
            event: Any = end.model_validate_json(record.value or b"")
            ours = self._request.request_id
            # That it is examined anew is said by a request of its own, whose id follows from ours.
            if event.request_id in (ours, f"again-{ours}"[:128]):
                self._end = event
                self._over.set()

        return hear

    def _hear_refusal(self, record: Record) -> None:
        try:
            body = json.loads(record.value or b"")
        except ValueError:
            return
        if isinstance(body, dict) and body.get("request_id") == self._request.request_id:
            self._refused = (header(record, "dlq_reason") or b"no reason is given").decode(errors="replace")
            self._over.set()
