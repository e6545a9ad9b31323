"""FastStream around our delivery: it wires, documents (AsyncAPI) and lives the application's life; we deliver.

Its subscribers stand for our routes, so that the document is made from what really runs; its own consume path is not
used, because it acknowledges what it should not and costs more per message than the whole of ours
(docs/decisions says how that was measured).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from libs.bus.failures import outcome_types
from libs.bus.routes import Route
from libs.bus.view import View
from schemas.base import Event
from schemas.topics import Topic, topics_of

Run = Callable[[], Awaitable[None]]


class DeliveryBroker(KafkaBroker):
    """A KafkaBroker whose start runs our stages and views instead of its own consumers."""

    def __init__(
        self,
        bootstrap_servers: str,
        runs: Sequence[Run] = (),
        *,
        on_stop: Callable[[], None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """`on_stop` asks the first of `runs` to finish by itself; `on_end` is told when any of them ended."""
        super().__init__(bootstrap_servers)
        self._runs = runs
        self._on_stop = on_stop
        self._on_end = on_end
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(_running(run)) for run in self._runs]
        for task in self._tasks:
            task.add_done_callback(self._ended)
        self.running = True

    def _ended(self, _: "asyncio.Task[None]") -> None:
        if self._on_end is not None:
            self._on_end()

    async def stop(self, exc_type: Any = None, exc_val: Any = None, exc_tb: Any = None) -> None:
        self.running = False
        if self._on_stop is not None and self._tasks:
            self._on_stop()
            await asyncio.wait(self._tasks[:1])
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def raise_failure(self) -> None:
        """Raises what ended a run, if one has failed."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()


async def _running(run: Run) -> None:
    await run()


def describe(
    broker: KafkaBroker,
    service: str,
    routes: Sequence[Route],
    views: Sequence[View[Any]],
    *,
    reads: Sequence[type[Event]] = (),
    emits: Sequence[type[Event]] = (),
) -> None:
    """Registers what a service hears and says, for the AsyncAPI document. `reads`, `emits`: outside the routes."""
    for route in routes:
        for topic in route.topics:
            _hear(broker, service, topic, route.event, _doc(route))
    for view in views:
        for topic in topics_of(view.event):
            _hear(broker, service, topic, view.event, "read whole, from the beginning, without a group")
    for event in reads:
        for topic in topics_of(event):
            _hear(broker, service, topic, event, "read by partition, without a group")
    emitted = {event for route in routes for event in (*route.emits, *_outcomes(route))} | set(emits)
    for event in sorted(emitted, key=lambda e: e.TYPE):
        for topic in topics_of(event):
            # Titles name channels, and a service may hear what it says.
            title = f"{service}/{topic.name}/sent"
            broker.publisher(topic.name, schema=event, title=title, description=topic.summary)


def _outcomes(route: Route) -> Sequence[type[Event]]:
    return () if route.overhears else outcome_types(route.event)


def _doc(route: Route) -> str:
    handler: Any = route.handler
    while hasattr(handler, "func"):
        handler = handler.func
    return (handler.__doc__ or route.name).strip().splitlines()[0]


def _hear(broker: KafkaBroker, service: str, topic: Topic, event: type[Event], description: str) -> None:
    async def heard(message: Any) -> None:
        """Stands for the route in the document; never called."""

    heard.__annotations__["message"] = event
    subscriber = broker.subscriber(
        topic.name,
        group_id=f"tailrace-{service}",
        ack_policy=AckPolicy.MANUAL,
        title=f"{service}/{topic.name}",
        description=description,
    )
    subscriber(heard)
