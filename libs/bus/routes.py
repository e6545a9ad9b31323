"""What a service hears and says: routes, their delivery policy, and what a handler may know of its record.

`routes.py` of a service is a table of these. A handler is a plain function, event in, events out; dependencies are
bound as keyword arguments (`functools.partial`). A sync handler runs inline, in key order: keep it to CPU work well
under a millisecond. An async one may wait; other keys go on meanwhile.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from libs.bus.envelope import Envelope
from libs.bus.records import Record, written_at
from schemas.base import Event, Lane
from schemas.topics import Topic, topics_of


@dataclass(frozen=True, slots=True)
class To:
    """An output for one named partition, such as a reply. Other outputs follow their input's partition."""

    partition: int
    event: Event


Output = Event | To
Outputs = Output | Sequence[Output] | None
Handler = Callable[..., Outputs] | Callable[..., Awaitable[Outputs]]


@dataclass(slots=True)
class Context:
    """What is known of the record under work. Handlers that have a parameter `context` are given one."""

    record: Record
    envelope: Envelope
    lane: Lane
    attempt: int
    _emit: Callable[[Output], Awaitable[None]]

    @property
    def timestamp(self) -> datetime:
        """When the record was written."""
        return written_at(self.record)

    async def emit(self, output: Output) -> None:
        """Writes an event before the handler ends, as a stream does. Order is that of the calls."""
        await self._emit(output)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one route's records are handled.

    `in_flight` bounds the records of the route under work, of all keys and partitions together; `batch_in_flight`
    those of the batch lane, so that a flood of batch work leaves room. A key whose handler says `Retryable` waits
    `backoff * 2**n` up to `max_backoff`, with jitter, for at most `retry_for`; a bug gets `bug_attempts` tries.
    """

    in_flight: int = 512
    batch_in_flight: int = 128
    backoff: timedelta = timedelta(milliseconds=100)
    max_backoff: timedelta = timedelta(seconds=10)
    retry_for: timedelta = timedelta(minutes=5)
    bug_attempts: int = 3
    ordered: bool = True
    """False: records of one key may run side by side (they carry their own order)."""
    goes_first: bool = False
    """Where records of several routes wait, these are taken first: pieces of a stream belong before its end."""
    linger: timedelta = timedelta(0)
    """So long a record may wait at the broker for company, where no route of the service is in a greater hurry. Each
    fetch of one record costs whoever shares the machine."""


@dataclass(frozen=True)
class Route:
    """Events of one type, both lanes, go to one handler; what it may return is `emits`."""

    event: type[Event]
    handler: Handler
    emits: tuple[type[Event], ...] = ()
    delivery: Delivery = Delivery()
    overhears: bool = False
    """True: another service's work. What fails here is a dead letter, and no outcome for whoever waits for it there."""

    @cached_property
    def topics(self) -> tuple[Topic, ...]:
        """The topics the route consumes."""
        return topics_of(self.event)

    @cached_property
    def name(self) -> str:
        """The handler's own name, whatever was bound to it."""
        return str(getattr(_unwrapped(self.handler), "__name__", type(self.handler).__name__))

    @cached_property
    def is_async(self) -> bool:
        """Whether the handler may wait."""
        return inspect.iscoroutinefunction(_unwrapped(self.handler))

    @cached_property
    def wants_context(self) -> bool:
        """Whether the handler asks for the record's context."""
        return "context" in inspect.signature(self.handler).parameters


def _unwrapped(handler: Any) -> Any:
    while hasattr(handler, "func"):
        handler = handler.func
    return handler


def as_list(outputs: Outputs) -> Sequence[Output]:
    """A handler's return value as a sequence."""
    if outputs is None:
        return ()
    if isinstance(outputs, Event | To):
        return (outputs,)
    return outputs
