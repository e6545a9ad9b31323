"""Evaluation's own routes on a log in memory, with adapters of two numbers and an examiner that takes no time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from libs.bus import InMemoryBus, Outgoing, Record, Stage, decode, encode
from libs.model_registry import Adapters, Champions
from schemas.base import Event
from schemas.evaluation import EvaluationRequested, PromotionRequested
from schemas.topics import topic_of
from services.evaluation.adapters.canary_files import read_canaries
from services.evaluation.adapters.exam_folder import ExamFolder
from services.evaluation.domain.exam import Exam, Measured, Report, Scores, evaluation_id_of
from services.evaluation.domain.gate import Gate
from services.evaluation.routes import routes
from tests.support.small_adapters import small
from tests.support.stages import at_work

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
AT_MS = int(NOON.timestamp() * 1000)
RULES = [{"metric": "preference_accuracy", "must": "improve"}]
CANARIES = read_canaries()
GATES = {name: Gate.model_validate({"name": name, "version": 2, "rules": RULES}) for name in ("default", "strict")}


class InstantExaminer:
    """Reports, and finds what it is told to; its `hurdles` come first, one at each attempt."""

    def __init__(self) -> None:
        self.exams: list[Exam] = []
        self.hurdles: list[Exception | Measured] = []
        self.bad: set[str] = set()

    async def examine(self, exam: Exam) -> AsyncGenerator[Report | Measured]:
        self.exams.append(exam)
        if self.hurdles:
            hurdle = self.hurdles.pop(0)
            if isinstance(hurdle, Exception):
                raise hurdle
            yield hurdle
            return
        for step in range(4):
            yield Report(exam="preferences", step=step, steps=3, at_ms=AT_MS + step * 1000)
        good = exam.model not in self.bad
        scores = Scores(
            metric="preference_accuracy",
            candidate=tuple((float(good), 1.0) for _ in range(20)),
            champion=tuple((0.5, 1.0) for _ in range(20)),
            groups=tuple(map(str, range(20))),
        )
        yield Measured(dataset="d" * 64, scores=(scores,), seconds=1.5)


class Nothing:
    """No documents."""

    async def gather(self, exam: Exam) -> None:
        return None


class Place:
    """Adapters, a log, and the service's own routes."""

    def __init__(self, bus: InMemoryBus, folder: Path) -> None:
        self.bus, self.folder, self.by_itself = bus, folder, True
        self.adapters, self.champions = Adapters(folder / "models"), Champions(folder / "models")
        self.memory, self.examiner = ExamFolder(folder / "reports"), InstantExaminer()
        self.now = NOON
        self.gates, self.canaries = dict(GATES), dict(CANARIES)
        self.a, self.b, self.c = (small(self.adapters, number).name for number in (1.0, 2.0, 3.0))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        told = routes(
            self.champions, self.adapters, self.memory, lambda: self.now, timedelta(minutes=1),
            by_itself=self.by_itself, gates=self.gates, canaries=self.canaries, examiner=self.examiner,
            knowledge=Nothing(), make_exam=self._exam,
            progress_every=timedelta(hours=1),
        )  # fmt: skip
        stage = Stage("evaluation", self.bus, told, jitter=lambda: 0.0)
        async with at_work(stage):
            yield

    def _exam(self, event: EvaluationRequested, gate: Gate, champion: str | None) -> Exam:
        return Exam(
            evaluation_id=evaluation_id_of(event.request_id), request_id=event.request_id, model=event.model,
            champion=champion, gate=gate, dataset=event.dataset, datasets=self.folder, models=self.adapters.folder,
            base="smol",
        )  # fmt: skip

    async def say(self, event: Event) -> None:
        await self.bus.append(Outgoing(topic_of(type(event)).name, event.key.encode(), encode(event)))

    async def evaluate(self, model: str, request_id: str, **fields: Any) -> None:
        await self.say(EvaluationRequested(request_id=request_id, model=model, **fields))

    async def change(self, action: Any, request_id: str, **fields: Any) -> None:
        await self.say(PromotionRequested(request_id=request_id, action=action, **fields))

    async def until(self, event: type[Event], count: int) -> None:
        await self._until(topic_of(event).name, count)

    async def until_refused(self, event: type[Event], count: int) -> None:
        await self._until(f"{topic_of(event).name}-dlq", count)

    async def _until(self, topic: str, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.bus.records(topic)) < count:
                await self.bus.arrival(0.01)

    def said(self, event: type[Event]) -> list[Any]:
        return [decode(record, event) for record in self.bus.records(topic_of(event).name)]

    def refusals(self, event: type[Event]) -> list[str]:
        def reason(record: Record) -> str:
            return dict(record.headers)["dlq_reason"].decode()

        return [reason(record) for record in self.bus.records(f"{topic_of(event).name}-dlq")]
