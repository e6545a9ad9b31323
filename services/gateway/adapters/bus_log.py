"""The bus as the gateway uses it: records out, acknowledged; replies in, from one partition and without a group.

It stands once replies are read from the end the partition had before the first prompt went out, so that no outcome
can be missed. Where the broker is away it tries again and says so; callers are turned away meanwhile.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

from libs.bus import (
    REPLY_TO_HEADER,
    Bus,
    Envelope,
    Outgoing,
    Producer,
    Record,
    Rejected,
    decode,
    encode,
    headers_for,
)
from libs.clock import Clock
from libs.telemetry import get_logger
from schemas.base import Event, Lane
from schemas.prompts import PromptSubmitted
from schemas.responses import Reply
from schemas.topics import REPLY_PARTITIONS, topic_of
from services.gateway.domain import Desk
from services.gateway.ports import LogUnavailable

_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0
_FAREWELL_SECONDS = 2.0


class BusLog:
    """Both directions, while the block runs. Raises ValueError where no partition is left for this instance."""

    def __init__(
        self,
        bus: Bus,
        *desks: Desk,
        instance: int,
        publish_timeout: timedelta,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        if instance >= REPLY_PARTITIONS:
            raise ValueError(
                f"TAILRACE_INSTANCE is {instance}, but the topic reply has {REPLY_PARTITIONS} partitions, "
                f"one for each gateway: number the instances 0 to {REPLY_PARTITIONS - 1}"
            )
        self._bus = bus
        self._desks = desks
        self._partition = instance
        self._timeout = publish_timeout.total_seconds()
        self._clock = clock
        self._new_id = new_id
        self._producer: Producer | None = None
        self._position: int | None = None
        self._reading = False
        self._soon: set[asyncio.Task[None]] = set()
        self._standing: asyncio.Task[None] | None = None
        self._log = get_logger("bus")

    @property
    def ready(self) -> bool:
        return self._producer is not None and self._reading

    # -- life ---------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._standing = asyncio.create_task(self._stand())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._soon:
            await asyncio.wait(self._soon, timeout=_FAREWELL_SECONDS)
        tasks = [task for task in (self._standing, *self._soon) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._producer is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL_SECONDS):
                    await self._producer.stop()

    async def _stand(self) -> None:
        delay = _FIRST_DELAY
        while True:
            try:
                if self._producer is None:
                    self._producer = await self._bus.producer()
                await self._read()
            except Exception as error:
                self._log.warning("the broker cannot be reached", error=type(error).__name__, reason=str(error))
            if self._reading:
                self._reading, delay = False, _FIRST_DELAY
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    # -- replies ------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        topic = topic_of(Reply).name
        if self._position is None:
            self._position = (await self._bus.end_offsets(topic))[self._partition]
        async with contextlib.aclosing(self._bus.follow(topic, {self._partition: self._position})) as batches:
            async for records in batches:
                self._reading = True
                for record in records:
                    self._hand_over(record)
                    self._position = record.offset + 1

    def _hand_over(self, record: Record) -> None:
        try:
            reply = decode(record, Reply)
        except Rejected as rejection:
            self._log.warning("unreadable reply", offset=record.offset, reason=str(rejection))
            return
        for desk in self._desks:
            desk.deliver(reply)

    # -- records out --------------------------------------------------------------------------------------------

    async def publish(self, event: Event, envelope: Envelope, lane: Lane = Lane.REAL_TIME) -> None:
        if self._producer is None:
            raise LogUnavailable("the broker has not been reached yet")
        try:
            async with asyncio.timeout(self._timeout):
                await (await self._producer.send(self._record(event, envelope, lane)))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._log.warning("not published", event_type=event.TYPE, error=type(error).__name__, reason=str(error))
            raise LogUnavailable("the broker did not take the record in time") from error

    def publish_soon(self, event: Event, envelope: Envelope) -> None:
        task = asyncio.create_task(self._publish_quietly(event, envelope))
        self._soon.add(task)
        task.add_done_callback(self._soon.discard)

    async def _publish_quietly(self, event: Event, envelope: Envelope) -> None:
        with contextlib.suppress(LogUnavailable):
            await self.publish(event, envelope)

    def _record(self, event: Event, envelope: Envelope, lane: Lane) -> Outgoing:
        headers = headers_for(event, self._new_id(), "gateway", now=self._clock(), envelope=envelope)
        if isinstance(event, PromptSubmitted):
            headers = (*headers, (REPLY_TO_HEADER, str(self._partition).encode()))
        return Outgoing(topic_of(type(event), lane).name, event.key.encode(), encode(event), headers)
