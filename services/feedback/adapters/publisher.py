"""Publishes data sets when they are due. What it has done follows from the folder of data sets and from the log.

A tick that was missed is made up for once. What a crash left unannounced is announced at the next start.
"""

import asyncio
from datetime import datetime, timedelta

from libs.bus import Bus
from libs.clock import Clock
from libs.datasets import Datasets, EmptyDatasetError, Policy
from libs.datasets.log import EXAMPLES, announce, publish
from libs.periodic import Periodic
from services.feedback.domain.publishing import When


class Publisher(Periodic):
    """At work while it is entered, on one instance only."""

    def __init__(
        self, bus: Bus, datasets: Datasets, policy: Policy, when: When, clock: Clock, *, look: timedelta
    ) -> None:
        super().__init__("publisher", look, ever=when.ever)
        self._bus, self._datasets, self._policy = bus, datasets, policy
        self._when, self._clock = when, clock
        self._last: datetime | None = None
        """When a data set was last made, or tried; None: not known yet."""
        self._read = 0
        """Records of examples that were read then."""

    async def look(self) -> None:
        """Publishes if it is time."""
        last = self._last or await self._recall()
        there = sum((await self._bus.end_offsets(EXAMPLES)).values())
        # A topic that was made anew counts from its beginning.
        new = there - self._read if there >= self._read else there
        if self._when.due(new, last, now := self._clock()):
            await self._publish()
            self._read, last = there, now
        self._last = last

    async def _recall(self) -> datetime:
        latest = await asyncio.to_thread(self._datasets.latest, self._policy.name)
        if latest is None:
            return self._clock()
        self._read = sum(latest.manifest.sources.get(EXAMPLES, {}).values())
        await announce(self._bus, self._datasets, latest, "feedback", self._clock)
        return latest.written_at

    async def _publish(self) -> None:
        try:
            made = await publish(self._bus, self._datasets, self._policy)
        except EmptyDatasetError as error:
            self._log.info("nothing to publish", reason=str(error))
            return
        event = await announce(self._bus, self._datasets, made.dataset, "feedback", self._clock)
        rows = made.dataset.manifest.total
        self._log.info(
            "data set", name=event.name, new=made.is_new, rows=rows, added=event.added, removed=event.removed
        )
