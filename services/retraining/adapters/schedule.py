"""Asks for trainings by the clock: at a recipe's tick, if the latest data set is not the one that was asked for last.

A tick that was missed is made up for once. The request's id follows from recipe and tick: asked twice, it is one.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

from libs.bus import Bus, say
from libs.clock import Clock
from libs.cron import Cron
from libs.datasets import Datasets
from libs.periodic import Periodic
from schemas.training import TrainingRequested
from services.retraining.domain.recipe import Recipe
from services.retraining.ports import Memory


class Schedule(Periodic):
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
        self._recipes = [recipe for recipe in recipes if recipe.when.cron is not None]
        super().__init__("schedule", look, ever=bool(self._recipes))
        self._bus, self._datasets, self._memory, self._clock = bus, datasets, memory, clock

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
        await say(self._bus, request, event_id, "retraining", self._clock())
