"""Writes what follows from the store: an example for each case that changed, dead letters for what comes to nothing.

Its own producer, one writer per installation: so the last example written about a response is the last one decided.
A case stays marked as changed until the log has what followed from it; done again after a crash, it is the same.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import NAMESPACE_URL, uuid5

from libs.bus import Bus, Failure, Observer, Outgoing, Producer, StoredRecord, encode, headers_for
from libs.bus.failures import dead_letter
from libs.clock import Clock
from libs.telemetry import Metrics, get_logger
from schemas.feedback import ExampleRecorded
from schemas.topics import topic_of
from services.feedback.domain.cases import Case
from services.feedback.domain.judging import Letter, Rules, Ruling, rule
from services.feedback.ports import Change, Masker, Settled, Store

STAGE = "feedback"
_TOPIC = topic_of(ExampleRecorded).name
_AT_ONCE = 64
"""Cases decided together; a case may hold a megabyte."""
_SWEPT_AT_ONCE = 500

Loop = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Tools:
    """What the recorder works with."""

    bus: Bus
    store: Store
    masker: Masker
    rules: Rules
    clock: Clock
    observer: Observer
    metrics: Metrics


class Recorder:
    """At work while it is entered."""

    def __init__(self, tools: Tools, *, sweep_every: timedelta, backoff: timedelta = timedelta(seconds=1)) -> None:
        self._tools = tools
        self._sweep_every = sweep_every.total_seconds()
        self._backoff = backoff.total_seconds()
        self._changed = asyncio.Event()
        self._log = get_logger("recorder")
        self._tasks: list[asyncio.Task[None]] = []
        self.ready = False
        """Whether the log has been reached."""

    def wake(self) -> None:
        """There are new facts."""
        self._changed.set()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._go_on(loop)) for loop in (self._record_often, self._sweep_often)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _go_on(self, loop: Loop) -> None:
        """Whatever fails is tried again: broker and store come back."""
        while True:
            try:
                await loop()
            except Exception as error:
                self._log.warning("recording waits", error=type(error).__name__, reason=str(error))
                await asyncio.sleep(self._backoff)

    async def _record_often(self) -> None:
        producer = await self._tools.bus.producer()
        self.ready = True
        try:
            while True:
                self._changed.clear()
                while await record(self._tools, producer):
                    pass
                # Other instances' facts are seen by the clock.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._sweep_every):
                        await self._changed.wait()
        finally:
            await producer.stop()

    async def _sweep_often(self) -> None:
        while True:
            await asyncio.sleep(self._sweep_every)
            tools = self._tools
            while await asyncio.to_thread(tools.store.sweep, tools.clock(), tools.rules, _SWEPT_AT_ONCE):
                self.wake()
                await asyncio.sleep(0)
            self.wake()


async def record(tools: Tools, producer: Producer) -> int:
    """Some changed cases: decided, written, settled. How many there were."""
    now = tools.clock()
    changes = await asyncio.to_thread(tools.store.changed, _AT_ONCE)
    if not changes:
        return 0
    decided = await asyncio.to_thread(_decide, tools, changes, now)
    # Noted first: should this die once the log has it and before it is settled, facts may come that lead back to what
    # was published before. That would then be taken for what the log holds.
    if about := [each.settled.change.key for each in decided if each.recorded]:
        await asyncio.to_thread(tools.store.doubt, about)
    sent = [await producer.send(outgoing) for each in decided for outgoing in each.outgoing]
    await asyncio.gather(*sent)
    await asyncio.to_thread(tools.store.settle, [each.settled for each in decided])
    for each in decided:
        _report(tools, each)
    return len(changes)


@dataclass(frozen=True, slots=True)
class _Decided:
    ruling: Ruling
    settled: Settled
    outgoing: tuple[Outgoing, ...]
    recorded: bool


def _decide(tools: Tools, changes: Sequence[Change], now: datetime) -> list[_Decided]:
    cases = tools.store.cases([change.key for change in changes], tools.rules.judgements)
    return [_decided(tools, change, case, now) for change, case in zip(changes, cases, strict=True)]


def _decided(tools: Tools, change: Change, case: Case, now: datetime) -> _Decided:
    ruling = rule(case, now=now, rules=tools.rules, mask=tools.masker.mask)
    letters = tuple(_letter(letter, now) for letter in ruling.letters)
    body = encode(ruling.example) if ruling.example is not None else None
    digest = hashlib.sha256(body).hexdigest() if body is not None else None
    if not ruling.decided:
        digest = case.published
    examples = (_example(case, ruling.example, digest, now),) if digest != case.published else ()
    settled = Settled(
        change,
        digest,
        ruling.states,
        tuple(letter.said for letter in ruling.letters if letter.expired),
        ruling.retired,
    )
    return _Decided(ruling, settled, (*letters, *examples), bool(examples))


def _example(case: Case, example: ExampleRecorded | None, digest: str | None, now: datetime) -> Outgoing:
    """The record of an example; its id follows from what it says. A null value takes it out of the compacted topic."""
    key = case.key.response_id.encode()
    if example is None:
        return Outgoing(_TOPIC, key, None)
    event_id = str(uuid5(NAMESPACE_URL, f"{case.key.tenant}/{case.key.response_id}/{digest}"))
    return Outgoing(_TOPIC, key, encode(example), headers_for(example, event_id, STAGE, now=now))


def _record_of(letter: Letter) -> StoredRecord:
    origin = letter.said.origin
    assert origin is not None
    return StoredRecord(
        origin.topic, origin.partition, origin.offset, origin.timestamp, origin.key, origin.value, origin.headers
    )


def _letter(letter: Letter, now: datetime) -> Outgoing:
    """The record as it came, with the reason: what delivery itself writes for a record that is rejected at once."""
    return dead_letter(_record_of(letter), Failure(letter.code, letter.message, STAGE, rejected=True), now=now)


def _report(tools: Tools, decided: _Decided) -> None:
    for letter in decided.ruling.letters:
        tools.observer.gave_up(_record_of(letter), letter.code, letter.message, None)
    if decided.recorded:
        tools.metrics.count("tailrace.examples")
    if decided.ruling.left_out:
        key = decided.settled.change.key
        tools.metrics.count("tailrace.feedback.left_out", decided.ruling.left_out)
        tools.observer.event("judgements left out", response_id=key.response_id, left_out=decided.ruling.left_out)
