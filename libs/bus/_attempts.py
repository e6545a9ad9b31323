"""Runs a handler until its record is decided: handled, rejected, or given up after bounded retries.

Exceptions become decisions here and nowhere else. A bug's message is not repeated in outcomes or dead letters: it may
quote what it was working on.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import cast

from libs.bus._publisher import Ordinals
from libs.bus._work import Work
from libs.bus.envelope import Envelope
from libs.bus.errors import Rejected, Retryable
from libs.bus.failures import Failure
from libs.bus.observer import Observer, Result
from libs.bus.routes import Context, Delivery, Output, Outputs
from libs.clock import Clock

Emit = Callable[[Output, Envelope], Awaitable[None]]
Done = tuple[Outputs, Envelope]


class Attempts:
    """One stage's attempts. `jitter` is a source of randomness in [0, 1)."""

    def __init__(self, stage: str, observer: Observer, clock: Clock, jitter: Callable[[], float]) -> None:
        self._stage = stage
        self._observer = observer
        self._clock = clock
        self._jitter = jitter
        self._stopping = asyncio.Event()

    def stop_waiting(self) -> None:
        """The stage stops: what waits for its next attempt is abandoned; it will be fetched again."""
        self._stopping.set()

    def inline(self, work: Work, envelope: Envelope) -> Done:
        """A sync handler's first attempt."""
        with self._observer.handling(work.route.name, work.record, envelope) as onward:
            return cast("Outputs", self._call(work, onward, 1, _no_stream)), onward

    async def until_decided(
        self, work: Work, emit: Emit, emitted: Ordinals, failed: Exception | None = None
    ) -> Done | Failure:
        """The handler's outputs, or why the record was given up. `failed` is what the first attempt raised."""
        started = time.monotonic()
        attempt = 1
        while True:
            if failed is None:
                emitted.clear()
                try:
                    return await self._attempt(work, attempt, emit)
                except asyncio.CancelledError:
                    if _is_being_cancelled():
                        raise
                    failed = RuntimeError("what the handler waited for was cancelled")
                except Exception as error:
                    failed = error
            failure, delay = self._decide(work, failed, attempt, time.monotonic() - started)
            if failure is not None:
                return failure
            self.note(work, "retried")
            await self._wait(delay)
            failed = None
            attempt += 1

    async def _attempt(self, work: Work, attempt: int, emit: Emit) -> Done:
        assert work.envelope is not None
        with self._observer.handling(work.route.name, work.record, work.envelope) as onward:

            async def emit_onward(output: Output) -> None:
                await emit(output, onward)

            outputs = self._call(work, onward, attempt, emit_onward)
            if inspect.isawaitable(outputs):
                outputs = await outputs
            return outputs, onward

    def _call(
        self, work: Work, envelope: Envelope, attempt: int, emit: Callable[[Output], Awaitable[None]]
    ) -> Outputs | Awaitable[Outputs]:
        if not work.route.wants_context:
            return work.route.handler(work.event)
        return work.route.handler(work.event, context=Context(work.record, envelope, work.lane, attempt, emit))

    def _decide(self, work: Work, error: Exception, attempt: int, elapsed: float) -> tuple[Failure | None, float]:
        """What to do about an exception: give up with a failure, or wait so many seconds."""
        if isinstance(error, Rejected):
            return self.rejection(error, attempt), 0.0
        delivery = work.route.delivery
        delay = self._delay(delivery, attempt)
        if isinstance(error, Retryable):
            left = self._time_left(work)
            return self._retryable(work, error, attempt, elapsed + delay, left), min(delay, left)
        return (self.bug(work, error, attempt) if attempt >= delivery.bug_attempts else None), delay

    def _time_left(self, work: Work) -> float:
        """Seconds until the event's deadline."""
        deadline: datetime | None = getattr(work.event, "deadline", None)
        if deadline is None:
            return float("inf")
        if deadline.tzinfo is None:
            deadline = deadline.replace(tzinfo=UTC)
        return (deadline - self._clock()).total_seconds()

    def _retryable(self, work: Work, error: Retryable, attempt: int, elapsed: float, left: float) -> Failure | None:
        if left <= 0:
            return Failure(
                "deadline_exceeded",
                f"the deadline passed while {self._stage} retried: {error}",
                self._stage,
                False,
                attempt,
            )
        if elapsed > work.route.delivery.retry_for.total_seconds():
            return Failure(error.code, f"{error} (after {attempt} attempts)", self._stage, False, attempt)
        return None

    def _delay(self, delivery: Delivery, attempt: int) -> float:
        longest = delivery.max_backoff.total_seconds()
        delay = min(longest, delivery.backoff.total_seconds() * 2.0 ** min(attempt - 1, 30))
        return delay * (0.5 + self._jitter() / 2)

    async def _wait(self, delay: float) -> None:
        try:
            async with asyncio.timeout(delay):
                await self._stopping.wait()
        except TimeoutError:
            return
        raise asyncio.CancelledError

    def rejection(self, error: Rejected, attempt: int = 1) -> Failure:
        """The message is wrong; its sentence is meant to be read."""
        return Failure(error.code, str(error), self._stage, rejected=True, attempts=attempt, answered=error.answered)

    def bug(self, work: Work, error: Exception, attempt: int = 1) -> Failure:
        """Ours to mend. The log has the traceback; the outcome says where to look."""
        record = work.record
        where = f"{record.topic}/{record.partition}/{record.offset}"
        message = f"internal error in {self._stage} ({type(error).__name__}) at {where}; it was dead-lettered"
        return Failure("internal_error", message, self._stage, rejected=False, attempts=attempt, error=error)

    def note(self, work: Work, result: Result) -> None:
        """Reports one end, or one attempt."""
        self._observer.finished(work.record.topic, work.route.name, result, time.perf_counter() - work.received)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _no_stream(output: Output) -> None:
    raise TypeError(f"a sync handler returns its events; it cannot emit {type(output).__name__} before its end")
