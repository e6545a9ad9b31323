"""Watches a candidate on its share of the conversations, from the log, and wishes that the share rises or ends.

What it wishes is a `promotion-requested` like any other, for one revision: said again it is the same, and too late it
is refused.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from libs.bus import Bus, say
from libs.clock import Clock, Seldom
from libs.model_registry import Champions, Turn, under_trial
from libs.periodic import Periodic
from libs.telemetry import Metrics
from schemas.base import Event
from schemas.evaluation import CanaryProgressed, PromotionRequested
from services.evaluation.adapters.observing import STAGE, Observing
from services.evaluation.domain.canary import Canary
from services.evaluation.domain.trial import Trial
from services.evaluation.domain.watching import Decision

FOLDER = "canaries"
_UNHEARD = timedelta(minutes=1)
"""A larger share that was wished for so long ago will not come."""


class Watch(Periodic):
    """At work while it is entered, on one instance only."""

    def __init__(
        self,
        bus: Bus,
        champions: Champions,
        folder: Path,
        canaries: Mapping[str, Canary],
        clock: Clock,
        metrics: Metrics,
        *,
        look: timedelta,
        progress_every: timedelta,
    ) -> None:
        super().__init__("canary", look)
        self._bus, self._champions, self._canaries = bus, champions, canaries
        self._folder, self._clock, self._metrics = folder, clock, metrics
        self._seldom = Seldom(progress_every)
        self._under: Observing | None = None
        self._missed = 0

    async def look(self) -> None:
        """Counts what has come, and says what is to happen."""
        turns = under_trial(await asyncio.to_thread(self._champions.turns))
        plan = self._canaries.get(turns[-1].canary or "") if turns else None
        if plan is None:
            await self._leave()
            self._miss(turns)
            return
        if self._under is None or self._under.first != turns[0].revision:
            await self._leave()
            self._under = await Observing.begin(self._bus, self._folder, turns)
        now = self._clock()
        self._under.turns = turns
        decision = await self._under.judge(plan, now)
        await self._say(plan, turns, self._under.trial, decision, now)

    def _miss(self, turns: Sequence[Turn]) -> None:
        """Says once that the plan is gone."""
        if turns and self._missed != turns[-1].revision:
            self._missed = turns[-1].revision
            self._log.error("no such plan: the share stays", plan=turns[-1].canary, model=turns[-1].model)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, trace)
        await self._leave()

    async def _leave(self) -> None:
        under, self._under = self._under, None
        if under is not None:
            await under.leave()

    async def _say(self, plan: Canary, turns: Sequence[Turn], trial: Trial, decision: Decision, now: datetime) -> None:
        wish = _wish(turns[-1], decision, trial.asked, now)
        if self._seldom.due(now.timestamp() * 1000, anyway=wish is not None):
            await self._write(_progress(plan, turns[-1], trial, decision, now), str(now.timestamp()))
        if wish is None:
            return
        await self._write(wish, wish.request_id)
        trial.asked[wish.request_id] = now
        assert self._under is not None
        await self._under.keep()
        self._metrics.count("tailrace.canary.decisions", 1, {"next": decision.next, "plan": plan.name})
        self._log.info(decision.next, model=trial.model, share=decision.share, reason=decision.reason)

    async def _write(self, event: Event, event_id: str) -> None:
        await say(self._bus, event, f"canary/{event.TYPE}/{event_id}", STAGE, self._clock())


def _wish(turn: Turn, decision: Decision, asked: Mapping[str, datetime], now: datetime) -> PromotionRequested | None:
    """None: nothing is to change, or it was said before."""
    once, again = f"canary-{turn.revision}", f"canary-{turn.revision}-over"
    told: dict[str, Any] = {"model": turn.model, "revision": turn.revision, "reason": decision.reason[:1000]}
    if once in asked:
        if again in asked or now - asked[once] < _UNHEARD:
            return None
        told["reason"] = f"its share did not change within {_UNHEARD.total_seconds():g} s: see the dead letters"
        return PromotionRequested(request_id=again, action="rollback", **told)
    if decision.next == "wait":
        return None
    if decision.next == "roll_back":
        return PromotionRequested(request_id=once, action="rollback", **told)
    assert decision.share is not None
    share: dict[str, Any] = {"share": decision.share, "canary": turn.canary} if decision.share < 1 else {}
    rests_on: dict[str, Any] = {"evaluation": turn.evaluation, "force": turn.evaluation is None}
    return PromotionRequested(request_id=once, action="promote", **share, **rests_on, **told)


def _progress(plan: Canary, turn: Turn, trial: Trial, decision: Decision, now: datetime) -> CanaryProgressed:
    return CanaryProgressed(
        model=trial.model,
        champion=trial.champion,
        plan=plan.label,
        revision=turn.revision,
        share=turn.share,
        next=decision.next,
        reason=decision.reason[:1000],
        conversations=trial.at(turn.revision).conversations,
        checks=decision.checks,
        at=now,
    )
