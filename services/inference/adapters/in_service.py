"""What serves, kept up to date from the log: read to its ends before the first prompt, then followed.

A promoted adapter serves once the engine has it. Until then, and where it cannot be had, what served before goes on.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Self

from libs.bus import Bus, Rejected, Retryable, decode
from libs.model_registry import AdapterError, Adapters
from libs.periodic import Periodic
from libs.telemetry import Metrics, get_logger
from schemas.evaluation import ModelPromoted, ModelRolledBack
from schemas.prompts import PromptCleared
from schemas.topics import topic_of
from services.inference.domain.serving import Begun, Change, WhatServes, choices, later, wanted
from services.inference.ports import AdapterHost

CHANGES: tuple[type[ModelPromoted] | type[ModelRolledBack], ...] = (ModelPromoted, ModelRolledBack)


class InService(Periodic):
    """At work while it is entered, after its engine."""

    def __init__(
        self,
        bus: Bus,
        host: AdapterHost,
        metrics: Metrics,
        adapters: Adapters | None = None,
        *,
        every: timedelta = timedelta(seconds=3),
    ) -> None:
        """`adapters`: where their cards lie. `every`: how often an adapter that could not be had is tried again."""
        super().__init__("adapters", every)
        self._bus = bus
        self._host = host
        self._metrics = metrics
        self._cards = adapters
        self._datasets: dict[str, str | None] = {}
        self._says = get_logger("adapters")
        self._change: Change | None = None
        self._now = WhatServes()
        self._served = False
        self._begun = Begun()
        self._failing: dict[str, str] = {}
        self._read: dict[str, dict[int, int]] = {}
        self._settling = asyncio.Lock()

    @property
    def now(self) -> WhatServes:
        """What prompts are answered by."""
        return self._now

    def positions(self, topic: str) -> dict[int, int]:
        """How far each partition was read before the first prompt."""
        return self._read.get(topic, {})

    def begin(self, event: PromptCleared) -> str | None:
        # A shadow is asked as its original would be.
        asked = event.shadow or event
        return self._begun.begin(event.identity, self._now.adapter_for(event.tenant, asked.conversation_id))

    def end(self, event: PromptCleared) -> None:
        self._begun.end(event.identity)

    def trained_on(self, adapter: str | None) -> str | None:
        return None if adapter is None else self._datasets.get(adapter)

    async def hear(self, change: Change) -> None:
        self._change = later(self._change, change)
        await self.look()

    async def __aenter__(self) -> Self:
        for kind in CHANGES:
            async for change in self._past(kind):
                self._change = later(self._change, change)
        await self.look()
        return await super().__aenter__()

    async def _past(self, kind: type[ModelPromoted] | type[ModelRolledBack]) -> AsyncIterator[Change]:
        topic = topic_of(kind).name
        self._read[topic] = dict(await self._bus.end_offsets(topic))
        for partition, end in self._read[topic].items():
            async for record in self._bus.read(topic, partition, end=end):
                if record.value is None:
                    continue
                try:
                    yield decode(record, kind)
                except Rejected as rejection:
                    self._metrics.count("tailrace.adapters.bad_records", 1, {"messaging.destination.name": topic})
                    self._says.warning(
                        "passed over", topic=topic, partition=partition, offset=record.offset, reason=str(rejection)
                    )

    async def look(self) -> None:
        """Puts into service what is wanted, as far as it can be had. Does not raise."""
        async with self._settling:
            tried: dict[str, bool] = {}
            for choice in choices(self._change, self._now if self._served else None):
                if (usable := await self._usable(choice, tried)) is not None:
                    self._serve(usable)
                    self._served = True
                    break
            for adapter in self._failing.keys() - tried.keys():
                # Nobody wants it any more.
                self._fails_no_more(adapter)

    async def _usable(self, choice: WhatServes, tried: dict[str, bool]) -> WhatServes | None:
        """As much of it as can be had; None: not its champion."""
        for adapter in sorted(choice.adapters - tried.keys()):
            tried[adapter] = await self._loads(adapter)
        if choice.champion is not None and not tried[choice.champion]:
            return None
        if choice.challenger is not None and not tried[choice.challenger.adapter]:
            return WhatServes(choice.champion, revision=choice.revision)
        return choice

    async def _loads(self, adapter: str) -> bool:
        try:
            await self._host.load(adapter)
        except Exception as error:
            # Whatever is the matter with it, prompts go on being answered.
            self._note_failure(adapter, error)
            return False
        if adapter not in self._datasets:
            self._datasets[adapter] = await asyncio.to_thread(self._dataset, adapter)
        self._fails_no_more(adapter)
        return True

    def _dataset(self, adapter: str) -> str | None:
        if self._cards is None:
            return None
        try:
            return self._cards.open(adapter).card.trained.dataset
        except (AdapterError, OSError):
            # An endpoint's own, or on a machine whose folder is not ours.
            return None

    def _fails_no_more(self, adapter: str) -> None:
        if self._failing.pop(adapter, None) is not None:
            self._metrics.level("tailrace.adapters.failing", -1, {"adapter": adapter})

    def _note_failure(self, adapter: str, error: Exception) -> None:
        self._metrics.count("tailrace.adapters.failures", 1, {"adapter": adapter})
        self._begun.forget(adapter)
        reason = str(error) if isinstance(error, ValueError | Retryable) else f"{type(error).__name__}: {error}"
        if adapter not in self._failing:
            self._metrics.level("tailrace.adapters.failing", 1, {"adapter": adapter})
        if self._failing.get(adapter) != reason:
            self._says.error("adapter cannot be used", adapter=adapter, reason=reason, serving=self._now.champion)
        self._failing[adapter] = reason

    def _serve(self, found: WhatServes) -> None:
        if found == self._now:
            return
        before, self._now = self._now, found
        self._metrics.level("tailrace.adapters.revision", found.revision - before.revision)
        for serves, change in ((before, -1), (found, 1)):
            for role, adapter in _roles(serves):
                self._metrics.level("tailrace.adapters.serving", change, {"adapter": adapter, "role": role})
        challenger = found.challenger
        self._says.info(
            "serving",
            revision=found.revision,
            champion=found.champion,
            challenger=challenger and challenger.adapter,
            share=challenger and challenger.share,
            as_wanted=found == wanted(self._change),
        )


def _roles(serves: WhatServes) -> list[tuple[str, str]]:
    """Without anything promoted there is nothing to show."""
    champion = [("champion", serves.champion)] if serves.champion is not None else []
    return [*champion, *([("challenger", serves.challenger.adapter)] if serves.challenger is not None else [])]
