"""A bus with what tests of delivery need: events of no meaning, stages under control, a look into the log."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.bus import (
    Bus,
    Delivery,
    Outgoing,
    Record,
    Result,
    Route,
    SilentObserver,
    Stage,
    encode,
    header,
    headers_for,
)
from schemas.base import Event, Lane, Reason
from schemas.prompts import PromptRefused, PromptRepeated
from schemas.topics import topic_of

TOPICS = tuple(
    f"{name}{lane}{letters}"
    for name in ("prompt-submitted", "prompt-refused", "prompt-failed", "prompt-repeated")
    for lane in ("", "-batch")
    for letters in ("", "-dlq")
)
FAST = Delivery(backoff=timedelta(milliseconds=1), max_backoff=timedelta(milliseconds=5))
PATIENCE = 30.0
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def question(name: str, key: str = "k", **more: Any) -> PromptRefused:
    """An input. It stands for any event of the path; `name` is its prompt id."""
    reason = Reason(code="invalid_request", message="none", stage="test")
    return PromptRefused(prompt_id=name, tenant="t", conversation_id=key, submitted_at=AT, **{"reason": reason, **more})


def answer(event: PromptRefused) -> PromptRepeated:
    """An output for it."""
    return PromptRepeated(**event.carried())


@dataclass
class Notes(SilentObserver):
    """What stages reported, and a way to wait for it."""

    results: Counter[Result] = field(default_factory=Counter)
    errors: list[BaseException | None] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def finished(self, topic: str, route: str, result: Result, seconds: float) -> None:
        self.results[result] += 1
        self.changed.set()

    def gave_up(self, record: Record, code: str, message: str, error: BaseException | None) -> None:
        self.errors.append(error)

    def event(self, name: str, **details: object) -> None:
        self.events.append(name)

    async def until(self, result: Result, count: int) -> None:
        """Returns when so many records have come to this end."""
        async with asyncio.timeout(PATIENCE):
            while self.results[result] < count:
                self.changed.clear()
                await self.changed.wait()


class Log:
    """An ordered list that can be waited for."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self._changed = asyncio.Event()

    def add(self, item: str) -> None:
        self.items.append(item)
        self._changed.set()

    async def until(self, *expected: str) -> None:
        """Returns when all of these are there, in whatever order."""
        async with asyncio.timeout(PATIENCE):
            while not set(expected) <= set(self.items):
                self._changed.clear()
                await self._changed.wait()

    async def holds(self, count: int) -> None:
        """Returns when there are so many."""
        async with asyncio.timeout(PATIENCE):
            while len(self.items) < count:
                self._changed.clear()
                await self._changed.wait()


class Gates:
    """One gate per name; a handler waits at its record's gate until the test opens it."""

    def __init__(self) -> None:
        self.started = Log()
        self.finished = Log()
        self._gates: dict[str, asyncio.Event] = {}
        self._all = False

    def open(self, *names: str) -> None:
        for name in names:
            self._gates.setdefault(name, asyncio.Event()).set()

    def open_all(self) -> None:
        self._all = True
        self.open(*self._gates)

    async def handle(self, event: PromptRefused) -> PromptRepeated:
        """A handler under control."""
        self.started.add(event.prompt_id)
        if not self._all:
            await self._gates.setdefault(event.prompt_id, asyncio.Event()).wait()
        self.finished.add(event.prompt_id)
        return answer(event)


async def eventually(check: Callable[[], bool]) -> None:
    """Returns when a plain condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not check():  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0.005)


class Bench:
    """The bus under test."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.notes = Notes()

    async def put(
        self, *events: Event, partition: int | None = 0, lane: Lane = Lane.REAL_TIME, headers: bool = True
    ) -> None:
        """Writes events, keyed as the contract says, to one partition (None: by the key's hash)."""
        records = [
            Outgoing(
                topic_of(type(event), lane).name,
                event.key.encode(),
                encode(event),
                headers_for(event, f"id-{getattr(event, 'prompt_id', number)}", "test") if headers else (),
                partition,
            )
            for number, event in enumerate(events)
        ]
        await self.put_raw(*records)

    async def put_raw(self, *records: Outgoing) -> None:
        """Writes records and waits until the log has them."""
        producer = await self.bus.producer()
        for future in [await producer.send(record) for record in records]:
            await future
        await producer.stop()

    async def read(self, topic: str) -> list[Record]:
        """All records of a topic, partition by partition."""
        partitions = await self.bus.partitions(topic)
        return [record for p in partitions async for record in self.bus.read(topic, p)]

    async def answers(self) -> list[str]:
        """Prompt ids of the real-time outputs, in the order of the log."""
        return [
            PromptRepeated.model_validate_json(r.value or b"").prompt_id for r in await self.read("prompt-repeated")
        ]

    def stage(self, *routes: Route, name: str = "tested", **options: Any) -> Stage:
        """A stage that is quick about it."""
        settings = {
            "observer": self.notes,
            "commit_every": timedelta(milliseconds=10),
            "grace": timedelta(seconds=20),
            "jitter": lambda: 0.0,
            **options,
        }
        return Stage(name, self.bus, routes, **settings)

    @asynccontextmanager
    async def running(self, *routes: Route, **options: Any) -> AsyncIterator[Stage]:
        """A stage at work; stopped cleanly at the end."""
        stage = self.stage(*routes, **options)
        async with started(stage) as task:
            yield stage
            stage.stop()
            async with asyncio.timeout(PATIENCE):
                await task


@asynccontextmanager
async def started(stage: Stage) -> AsyncIterator["asyncio.Task[None]"]:
    """The task of a stage that is ready; killed at the end if it still runs."""
    task = asyncio.create_task(stage.run())
    try:
        await eventually(lambda: stage.ready or task.done())
        yield task
    finally:
        await kill(task)


async def kill(task: "asyncio.Task[None]") -> None:
    """Ends a stage in the middle of its work."""
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task


def on(handler: Callable[..., Any] | Callable[..., Awaitable[Any]], delivery: Delivery = FAST) -> Route:
    """The route of the inputs."""
    return Route(PromptRefused, handler, emits=(PromptRepeated,), delivery=delivery)


def ids(records: Sequence[Record]) -> list[bytes | None]:
    """Event ids."""
    return [header(record, "ce_id") for record in records]


def notes_of(letter: Record) -> dict[str, str]:
    """What a dead letter says of its end."""
    return {name: value.decode() for name, value in letter.headers if name.startswith("dlq_")}


def answered(records: Sequence[Record]) -> list[str]:
    """Prompt ids of answers."""
    return [PromptRepeated.model_validate_json(record.value or b"").prompt_id for record in records]
