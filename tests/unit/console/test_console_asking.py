"""Long work is asked for and watched, over a log in memory with a stage behind it that says what the service would."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.bus import Context, InMemoryBus, Outgoing, Rejected, Route, Stage, decode, encode, read_envelope
from schemas.base import Event
from schemas.evaluation import (
    EvaluationProgressed,
    EvaluationRequested,
    ModelEvaluated,
    ModelPromoted,
    ModelRolledBack,
    PromotionRequested,
)
from schemas.topics import topic_of
from schemas.training import ModelTrained, TrainingProgressed, TrainingRequested
from services.console.domain.errors import ConsoleError
from services.console.handlers.asking import EVALUATION, PROMOTION, TRAINING, Following, ask
from tests.support.stages import at_work

NOW = datetime(2026, 3, 2, tzinfo=UTC)
Handler = Callable[..., Awaitable[ModelTrained]]


def request(request_id: str = "q-1", **fields: Any) -> TrainingRequested:
    return TrainingRequested(request_id=request_id, recipe="mine", **fields)


def progressed(request_id: str, status: Any, step: int, metrics: dict[str, float] | None = None) -> TrainingProgressed:
    return TrainingProgressed(
        run_id=f"run-{request_id}", request_id=request_id, recipe="mine", dataset="d", status=status, step=step,
        steps=20, metrics=metrics or {}, at=NOW,
    )  # fmt: skip


def outcome(request_id: str) -> ModelTrained:
    return ModelTrained(
        model=f"mine-{request_id}", version="1", run_id=f"run-{request_id}", request_id=request_id, recipe="mine@1-a",
        method="dpo", base="smol", dataset="d", rows=40, replayed=0, seed=7, steps=20, metrics={}, trained_at=NOW,
    )  # fmt: skip


class Seen:
    """Whoever watches."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, int, str]] = []

    def advance(self, done: int, of: int, note: str = "") -> None:
        self.lines.append((done, of, note))


@asynccontextmanager
async def retraining(bus: InMemoryBus, handler: Handler) -> AsyncIterator[None]:
    stage = Stage("retraining", bus, (Route(TrainingRequested, handler, emits=(ModelTrained, TrainingProgressed)),))
    async with at_work(stage):
        yield


async def write(bus: InMemoryBus, *events: Event) -> None:
    for event in events:
        await bus.append(Outgoing(topic_of(type(event)).name, event.key.encode(), encode(event)))


async def follow(bus: InMemoryBus, asked: TrainingRequested, seen: Seen) -> ModelTrained:
    async with asyncio.timeout(10):
        found = await Following(bus, TRAINING, asked, seen, lambda: NOW).run()
    assert isinstance(found, ModelTrained)
    return found


def training(seen: Seen) -> Handler:
    """Trains in a few steps, each of which is over once it was seen."""

    async def train(event: TrainingRequested, *, context: Context) -> ModelTrained:
        steps: tuple[tuple[str, int, dict[str, float]], ...] = (
            ("started", 0, {}),
            ("training", 10, {"loss": 0.51239, "epoch": 1}),
            ("trained", 20, {"train_loss": 0.3}),
        )
        for number, (status, step, metrics) in enumerate(steps, start=1):
            await context.emit(progressed("q-other", status, step, {"loss": 9.0}))
            await context.emit(progressed(event.request_id, status, step, metrics))
            while len(seen.lines) < number:  # noqa: ASYNC110 - it is watched from outside
                await asyncio.sleep(0)
        return outcome(event.request_id)

    return train


async def test_a_training_is_watched_to_its_end_and_no_other(in_memory: InMemoryBus) -> None:
    seen = Seen()
    await write(in_memory, progressed("q-1", "training", 3), outcome("q-1").model_copy(update={"model": "mine-before"}))
    async with retraining(in_memory, training(seen)):
        found = await follow(in_memory, request(), seen)
    assert found == outcome("q-1")
    assert seen.lines == [(0, 20, "started"), (10, 20, "training, loss 0.512"), (20, 20, "trained")]


async def test_what_is_asked_for_is_on_the_log_as_it_was_asked(in_memory: InMemoryBus) -> None:
    await ask(in_memory, TRAINING, request(dataset="abcd", seed=3), lambda: NOW)
    await ask(in_memory, TRAINING, request(dataset="abcd", seed=3), lambda: NOW)
    first, again = in_memory.records("training-requested")
    assert decode(first, TrainingRequested) == request(dataset="abcd", seed=3, reason="request")
    assert first.key == b"mine"
    assert read_envelope(first).id == read_envelope(again).id == "train/q-1"


async def test_a_training_that_is_refused_is_an_error_with_the_reason(in_memory: InMemoryBus) -> None:
    async def refuse(event: TrainingRequested) -> ModelTrained:
        raise Rejected(f"recipe {event.recipe} wants 16 rows, and {event.request_id} has 3")

    async with retraining(in_memory, refuse):
        with pytest.raises(ConsoleError) as caught:
            await follow(in_memory, request(), Seen())
    assert str(caught.value) == "no model came of it: recipe mine wants 16 rows, and q-1 has 3"


async def test_what_came_of_other_requests_is_passed_over(in_memory: InMemoryBus) -> None:
    asked = asyncio.Event()

    async def train(event: TrainingRequested) -> ModelTrained:
        if event.request_id == "q-bad":
            raise Rejected("not this one")
        if event.request_id == "q-1":
            asked.set()
            await others_are_over.wait()
        return outcome(event.request_id)

    others_are_over, seen = asyncio.Event(), Seen()
    async with retraining(in_memory, train):
        following = asyncio.create_task(follow(in_memory, request(), seen))
        await asked.wait()
        # Of other recipes: requests of one follow each other.
        await write(in_memory, *(TrainingRequested(request_id=it, recipe="other") for it in ("q-bad", "q-2")))
        for letter in (b"", b"{", b"[]", b'{"request_id": 1}'):
            await in_memory.append(Outgoing("training-requested-dlq", b"x", letter))
        while not in_memory.records("model-trained"):
            await in_memory.arrival(0.01)
        assert len(in_memory.records("training-requested-dlq")) == 5
        for _ in range(50):
            await asyncio.sleep(0)
        assert not following.done()
        others_are_over.set()
        assert await following == outcome("q-1")
    assert seen.lines == []


async def test_a_refusal_without_a_reason_is_still_the_end(in_memory: InMemoryBus) -> None:
    async def letter_comes() -> None:
        while not in_memory.records("training-requested"):
            await in_memory.arrival(0.01)
        await in_memory.append(Outgoing("training-requested-dlq", b"mine", encode(request())))

    writing = asyncio.create_task(letter_comes())
    with pytest.raises(ConsoleError, match="no model came of it: no reason is given"):
        await follow(in_memory, request(), Seen())
    await writing


async def promotion(bus: InMemoryBus, handler: Callable[..., Awaitable[Event]]) -> Event:
    """What came of a wish, with a stage behind it that says what evaluation would."""
    ends = (ModelPromoted, ModelRolledBack, EvaluationRequested)
    stage = Stage("evaluation", bus, (Route(PromotionRequested, handler, emits=ends),))
    task = asyncio.create_task(stage.run())
    wish = PromotionRequested(request_id="q-1", action="rollback")
    try:
        async with asyncio.timeout(10):
            return await Following(bus, PROMOTION, wish, Seen(), lambda: NOW).run()
    finally:
        stage.stop()
        await task


async def test_a_wish_is_followed_to_whatever_comes_of_it(in_memory: InMemoryBus) -> None:
    back = ModelRolledBack(revision=3, rolled_back="b", request_id="q-1", rolled_back_at=NOW)

    async def roll_back(event: PromotionRequested) -> ModelRolledBack:
        assert (event.action, event.request_id) == ("rollback", "q-1")
        return back

    assert await promotion(in_memory, roll_back) == back


async def test_a_wish_that_leads_to_another_examination_is_over_with_that(in_memory: InMemoryBus) -> None:
    again = EvaluationRequested(request_id="again-q-1", model="b", reason="champion-changed")

    async def examine_again(event: PromotionRequested) -> EvaluationRequested:
        await write(in_memory, EvaluationRequested(request_id="again-q-2", model="b"))
        return again

    assert await promotion(in_memory, examine_again) == again


async def test_an_examination_is_watched_exam_by_exam(in_memory: InMemoryBus) -> None:
    seen = Seen()
    said = ModelEvaluated(
        evaluation_id="eval-1", request_id="q-1", model="a", base="smol", passed=False, reasons=("so",), gate="g@1-a",
        checks=(), metrics={}, seconds=1, evaluated_at=NOW,
    )  # fmt: skip

    async def examine(event: EvaluationRequested, *, context: Context) -> ModelEvaluated:
        progress = EvaluationProgressed(
            evaluation_id="eval-1", request_id=event.request_id, model="a", exam="safety", step=3, steps=9, at=NOW
        )
        await context.emit(progress)
        while not seen.lines:  # noqa: ASYNC110 - it is watched from outside
            await asyncio.sleep(0)
        return said

    stage = Stage(
        "evaluation", in_memory, (Route(EvaluationRequested, examine, emits=(ModelEvaluated, EvaluationProgressed)),)
    )
    task = asyncio.create_task(stage.run())
    asked = EvaluationRequested(request_id="q-1", model="a")
    async with asyncio.timeout(10):
        assert await Following(in_memory, EVALUATION, asked, seen, lambda: NOW).run() == said
    stage.stop()
    await task
    assert seen.lines == [(3, 9, "safety")]
