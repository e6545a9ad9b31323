"""A trained adapter in, an examination asked for; an examination in, a verdict out; a wish in, what serves out."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from libs.bus import Context, Rejected
from libs.clock import Clock, Seldom
from libs.model_registry import AdapterError, Adapters, Champions, Serving, Turn
from schemas.evaluation import (
    EvaluationProgressed,
    EvaluationRequested,
    ModelEvaluated,
    ModelPromoted,
    ModelRolledBack,
    PromotionRequested,
)
from schemas.training import ModelTrained
from services.evaluation.domain.canary import Canary
from services.evaluation.domain.exam import Exam, Measured, Report, evaluation_id_of
from services.evaluation.domain.gate import Gate
from services.evaluation.domain.turns import Unchangeable, decided
from services.evaluation.domain.verdict import verdict
from services.evaluation.ports import Examiner, Knowledge, Memory

DEFAULT_GATE = "default"
Gates = Mapping[str, Gate]
MakeExam = Callable[[EvaluationRequested, Gate, str | None], Exam]
"""From a request, its gate and the champion."""


async def ask_for_examination(event: ModelTrained) -> EvaluationRequested:
    """Of every adapter that is trained; trained again, it is asked again."""
    return EvaluationRequested(request_id=f"trained-{event.run_id}", model=event.model, reason="trained")


async def examine(
    event: EvaluationRequested,
    *,
    context: Context,
    gates: Gates,
    champions: Champions,
    memory: Memory,
    examiner: Examiner,
    knowledge: Knowledge,
    make_exam: MakeExam,
    clock: Clock,
    progress_every: timedelta,
) -> tuple[ModelEvaluated | PromotionRequested, ...]:
    """The verdict, and after a pass the wish to promote. Raises Rejected where there is nothing to examine."""
    said = await asyncio.to_thread(memory.said, evaluation_id_of(event.request_id))
    if said is None:
        exam = await asyncio.to_thread(_exam, event, gates, champions, memory, make_exam)
        if exam.model == exam.champion:
            said = _said(exam, Measured(refused="it serves already: there is nothing to compare it with"), clock())
        else:
            await knowledge.gather(exam)
            measured = await _measured(exam, examiner, _Told(exam, context, progress_every))
            said = await asyncio.to_thread(_said, exam, measured, clock())
        await asyncio.to_thread(memory.keep, said)
    if not (said.passed and event.promote):
        return (said,)
    begun = await asyncio.to_thread(memory.exam, said.evaluation_id)
    return said, _wish(said, begun.gate.canary if begun is not None else None)


def _exam(event: EvaluationRequested, gates: Gates, champions: Champions, memory: Memory, make_exam: MakeExam) -> Exam:
    """The one that was fixed when it began, or a new one. Raises Rejected."""
    if (begun := memory.exam(evaluation_id_of(event.request_id))) is not None:
        return begun
    name = event.gate or DEFAULT_GATE
    if name not in gates:
        raise Rejected(f'no gate "{name}": there are {", ".join(sorted(gates))}')
    return memory.begin(make_exam(event, gates[name], champions.serving().champion))


async def _measured(exam: Exam, examiner: Examiner, told: "_Told") -> Measured:
    measured = Measured(unknown="it ended without a word")
    async with aclosing(examiner.examine(exam)) as reports:
        async for said in reports:
            if isinstance(said, Measured):
                measured = said
            else:
                await told.tell(said)
    if measured.unknown:
        raise Rejected(measured.unknown)
    return measured


class _Told:
    """Says how far it is, not too often."""

    def __init__(self, exam: Exam, context: Context, every: timedelta) -> None:
        self._exam, self._context, self._seldom = exam, context, Seldom(every)

    async def tell(self, report: Report) -> None:
        if not self._seldom.due(report.at_ms, anyway=report.step >= report.steps):
            return
        await self._context.emit(
            EvaluationProgressed(
                evaluation_id=self._exam.evaluation_id,
                request_id=self._exam.request_id,
                model=self._exam.model,
                exam=report.exam,
                step=report.step,
                steps=report.steps,
                at=datetime.fromtimestamp(report.at_ms / 1000, UTC),
            )
        )


def _said(exam: Exam, measured: Measured, now: datetime) -> ModelEvaluated:
    found = verdict(exam.gate, measured)
    return ModelEvaluated(
        evaluation_id=exam.evaluation_id,
        request_id=exam.request_id,
        model=exam.model,
        champion=exam.champion,
        base=exam.base,
        passed=found.passed,
        reasons=found.reasons,
        gate=exam.gate.label,
        dataset=measured.dataset,
        checks=found.checks,
        metrics=found.metrics,
        seconds=measured.seconds,
        evaluated_at=now,
    )


def _wish(said: ModelEvaluated, canary: str | None) -> PromotionRequested:
    return PromotionRequested(
        request_id=f"gate-{said.evaluation_id}",
        action="promote",
        model=said.model,
        evaluation=said.evaluation_id,
        canary=canary,
        reason=f"it passed {said.gate}",
    )


async def change_what_serves(
    event: PromotionRequested,
    *,
    champions: Champions,
    adapters: Adapters,
    memory: Memory,
    canaries: Mapping[str, Canary],
    clock: Clock,
) -> ModelPromoted | ModelRolledBack | EvaluationRequested:
    """What serves from now on; or, where the champion is not the one it was compared with, that it is examined anew.

    Raises Rejected where it cannot be.
    """
    wish = _begun(event, canaries)
    try:
        return _event(await asyncio.to_thread(_turn, wish, champions, adapters, memory, clock()))
    except _OverTakenError:
        assert event.model is not None
        return EvaluationRequested(
            request_id=f"again-{event.request_id}"[:128], model=event.model, reason="champion-changed"
        )


def _begun(event: PromotionRequested, canaries: Mapping[str, Canary]) -> PromotionRequested:
    """With the share that its plan begins with. Raises Rejected where there is no such plan."""
    if event.canary is None or event.share < 1:
        return event
    if event.canary not in canaries:
        raise Rejected(f'no canary plan "{event.canary}": there are {", ".join(sorted(canaries))}')
    return event.model_copy(update={"share": canaries[event.canary].steps[0].share})


class _OverTakenError(Exception):
    """Something else became champion since the examination."""


def _turn(event: PromotionRequested, champions: Champions, adapters: Adapters, memory: Memory, now: datetime) -> Turn:
    def decide(serving: Serving, revision: int) -> Turn:
        if event.action == "promote":
            assert event.model is not None
            _check(event, event.model, serving, adapters, memory)
        return decided(event, serving, revision, _evaluation(event, memory), now)

    try:
        return champions.change(event.request_id, decide)
    except (Unchangeable, AdapterError) as error:
        raise Rejected(str(error)) from None


def _evaluation(event: PromotionRequested, memory: Memory) -> ModelEvaluated | None:
    """What the promotion rests on."""
    if event.evaluation is not None:
        return memory.said(event.evaluation)
    return memory.last(event.model) if event.model is not None and event.action == "promote" else None


def _check(event: PromotionRequested, model: str, serving: Serving, adapters: Adapters, memory: Memory) -> None:
    """Whether it may serve. Raises Rejected, AdapterError, _OverTakenError."""
    if faults := adapters.open(model).verify():
        raise Rejected(f"{model} is damaged: {'; '.join(faults)}")
    if event.force:
        return
    said = _evaluation(event, memory)
    remedy = f"tailrace evaluate {model}, or tailrace models promote {model} --force"
    if said is None or said.model != model:
        raise Rejected(f"{model} has not been examined: {remedy}")
    if not said.passed:
        raise Rejected(f"{model} has not passed ({said.reasons[0]}): {remedy}")
    if serving.champion not in (said.champion, model):
        raise _OverTakenError


def _event(turn: Turn) -> ModelPromoted | ModelRolledBack:
    if turn.action == "promote":
        assert turn.model is not None
        return ModelPromoted(
            revision=turn.revision,
            model=turn.model,
            share=turn.share,
            champion=turn.champion,
            previous=turn.previous,
            evaluation=turn.evaluation,
            canary=turn.canary,
            request_id=turn.request_id,
            reason=turn.reason,
            promoted_at=turn.at,
        )
    assert turn.rolled_back is not None
    return ModelRolledBack(
        revision=turn.revision,
        model=turn.model,
        rolled_back=turn.rolled_back,
        request_id=turn.request_id,
        reason=turn.reason,
        rolled_back_at=turn.at,
    )
