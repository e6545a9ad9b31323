"""Asks for trainings by the clock: at a recipe's tick, if the latest data set is not the one that was asked for last.

A tick that was missed is made up for once. The request's id follows from recipe and tick: asked twice, it is one.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import NAMESPACE_URL, uuid5

from libs.bus import Bus, Outgoing, encode, headers_for
from libs.clock import Clock
from libs.cron import Cron
from libs.datasets import Datasets
from libs.telemetry import get_logger
from schemas.topics import topic_of
from schemas.training import TrainingRequested
from services.retraining.domain.recipe import Recipe
from services.retraining.ports import Memory


class Schedule:
    """At work while it is entered, on one instance only."""

    def __init__(
        self,
        bus: Bus,
        recipes: Sequence[Recipe],
        datasets: Datasets,
        memory: Memory,
        clock: Clock,
        *,
        look: timedelta,
    ) -> None:
        self._bus, self._datasets, self._memory, self._clock = bus, datasets, memory, clock
        self._recipes = [recipe for recipe in recipes if recipe.when.cron is not None]
        self._look = look.total_seconds()
        self._log = get_logger("schedule")
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._recipes:
            self._task = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _go_on(self) -> None:
        while True:
            try:
                await self.look()
            except Exception as error:
                # Broker and disk come back.
                self._log.warning("the schedule waits", error=type(error).__name__, reason=str(error))
            await asyncio.sleep(self._look)

    async def look(self) -> None:
        """Asks for what is due."""
        for recipe in self._recipes:
            if (tick := await asyncio.to_thread(self._due, recipe)) is None:
                continue
            if (request := await asyncio.to_thread(self._request, recipe, tick)) is not None:
                await self._publish(request)
                self._log.info("a training is due", recipe=recipe.name, dataset=request.dataset)
            # Noted last: a crash before leads to the same request again.
            await asyncio.to_thread(self._memory.note_ticked, recipe.name, tick)

    def _due(self, recipe: Recipe) -> datetime | None:
        assert recipe.when.cron is not None
        last = self._memory.ticked(recipe.name)
        if last is None:
            # From now on.
            self._memory.note_ticked(recipe.name, self._clock())
            return None
        return Cron(recipe.when.cron, recipe.when.timezone).due(last, self._clock())

    def _request(self, recipe: Recipe, tick: datetime) -> TrainingRequested | None:
        latest = self._datasets.latest()
        if latest is None or latest.name == self._memory.asked(recipe.name):
            return None
        name = f"schedule-{recipe.name}-{tick.astimezone(UTC):%Y%m%dT%H%MZ}"
        return TrainingRequested(request_id=name, recipe=recipe.name, dataset=latest.name, reason="schedule")

    async def _publish(self, request: TrainingRequested) -> None:
        event_id = str(uuid5(NAMESPACE_URL, request.request_id))
        headers = headers_for(request, event_id, "retraining", now=self._clock())
        outgoing = Outgoing(topic_of(TrainingRequested).name, request.key.encode(), encode(request), headers)
        producer = await self._bus.producer()
        try:
            await (await producer.send(outgoing))
        finally:
            await producer.stop()
