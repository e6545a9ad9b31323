"""A training is asked for and watched, over a log in memory with a stage behind it that says what retraining would."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.bus import Context, InMemoryBus, Outgoing, Rejected, Route, Stage, decode, encode, read_envelope
from schemas.base import Event
from schemas.topics import topic_of
from schemas.training import ModelTrained, TrainingProgressed, TrainingRequested
from services.console.domain.errors import ConsoleError
from services.console.handlers.training import Following, ask

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
    task = asyncio.create_task(stage.run())
    try:
        yield
    finally:
        stage.stop()
        await task


async def write(bus: InMemoryBus, *events: Event) -> None:
    for event in events:
        await bus.append(Outgoing(topic_of(type(event)).name, event.key.encode(), encode(event)))


async def follow(bus: InMemoryBus, asked: TrainingRequested, seen: Seen) -> ModelTrained:
    async with asyncio.timeout(10):
        return await Following(bus, asked, seen, lambda: NOW).run()


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
    await ask(in_memory, request(dataset="abcd", seed=3), lambda: NOW)
    await ask(in_memory, request(dataset="abcd", seed=3), lambda: NOW)
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
