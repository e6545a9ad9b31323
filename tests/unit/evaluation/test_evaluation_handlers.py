"""Adapters are examined, promoted and rolled back, through a stage, with an examiner that takes no time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.bus import InMemoryBus, Outgoing, Record, Retryable, Stage, decode, encode
from libs.model_registry import Adapters, Champions
from libs.model_registry.adapters import WEIGHTS
from schemas.base import Event
from schemas.evaluation import (
    EvaluationProgressed,
    EvaluationRequested,
    ModelEvaluated,
    ModelPromoted,
    ModelRolledBack,
    PromotionRequested,
)
from schemas.topics import topic_of
from schemas.training import ModelTrained
from services.evaluation.adapters.exam_folder import ExamFolder
from services.evaluation.domain.exam import Exam, Measured, Report, Scores, evaluation_id_of
from services.evaluation.domain.gate import Gate
from services.evaluation.routes import routes
from tests.support.small_adapters import small

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
AT_MS = int(NOON.timestamp() * 1000)
RULES = [{"metric": "preference_accuracy", "must": "improve"}]
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
        self.a, self.b, self.c = (small(self.adapters, number).name for number in (1.0, 2.0, 3.0))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        told = routes(
            self.champions, self.adapters, self.memory, lambda: NOON, timedelta(minutes=1), by_itself=self.by_itself,
            gates=GATES, examiner=self.examiner, knowledge=Nothing(), make_exam=self._exam,
            progress_every=timedelta(hours=1),
        )  # fmt: skip
        stage = Stage("evaluation", self.bus, told, jitter=lambda: 0.0)
        task = asyncio.create_task(stage.run())
        try:
            yield
        finally:
            stage.stop()
            await task

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


@pytest.fixture
def place(in_memory: InMemoryBus, tmp_path: Path) -> Place:
    return Place(in_memory, tmp_path)


def trained(model: str) -> ModelTrained:
    return ModelTrained(
        model=model, version="1", run_id=f"run-{model}", request_id="q", recipe="mine@1-a", method="dpo", base="smol",
        dataset="d" * 64, rows=40, replayed=0, seed=7, steps=9, metrics={}, trained_at=NOON,
    )  # fmt: skip


async def test_a_trained_adapter_is_examined_passes_and_serves(place: Place) -> None:
    await place.say(trained(place.a))
    async with place.serving():
        await place.until(ModelPromoted, 1)
    (request,), (said,), (wish,), (promoted,) = (
        place.said(it) for it in (EvaluationRequested, ModelEvaluated, PromotionRequested, ModelPromoted)
    )
    assert (request.request_id, request.reason) == (f"trained-run-{place.a}", "trained")
    assert (said.model, said.champion, said.passed, said.gate) == (place.a, None, True, GATES["default"].label)
    assert said.metrics == {"preference_accuracy": {"candidate": 1.0, "champion": 0.5}}
    assert (said.dataset, said.seconds, said.evaluated_at) == ("d" * 64, 1.5, NOON)
    assert wish.evaluation == said.evaluation_id == evaluation_id_of(request.request_id)
    assert promoted == ModelPromoted(
        revision=1, model=place.a, share=1.0, evaluation=said.evaluation_id, request_id=wish.request_id,
        reason=f"it passed {said.gate}", promoted_at=NOON,
    )  # fmt: skip
    assert place.champions.serving().champion == place.a
    assert [it.step for it in place.said(EvaluationProgressed)] == [0, 3]
    report = (place.folder / "reports" / said.evaluation_id / "report.md").read_text()
    assert report.startswith(f"# {place.a} passed")


async def test_a_failure_changes_nothing_in_service(place: Place) -> None:
    place.examiner.bad = {place.b}
    await place.say(trained(place.a))
    async with place.serving():
        await place.until(ModelPromoted, 1)
        await place.say(trained(place.b))
        await place.until(ModelEvaluated, 2)
        # Whatever would have come of it would stand before this.
        await place.change("rollback", "nobody", model=place.b)
        await place.until_refused(PromotionRequested, 1)
    second = place.said(ModelEvaluated)[1]
    assert (second.passed, second.champion) == (False, place.a)
    assert "worse than the champion" in second.reasons[0]
    assert len(place.said(ModelPromoted)) == 1
    assert place.champions.serving().champion == place.a


async def test_the_same_request_again_is_the_same_examination_and_the_same_promotion(place: Place) -> None:
    async with place.serving():
        await place.evaluate(place.a, "q-1")
        await place.until(ModelPromoted, 1)
        await place.evaluate(place.a, "q-1")
        await place.until(ModelPromoted, 2)
    first, second = place.said(ModelPromoted)
    assert first == second
    assert len(place.examiner.exams) == 1
    assert len(place.champions.turns()) == 1


async def test_who_only_wants_to_know_promotes_nothing(place: Place) -> None:
    async with place.serving():
        await place.evaluate(place.a, "q-1", promote=False, gate="strict", dataset="abcd")
        await place.until(ModelEvaluated, 1)
        assert place.said(ModelEvaluated)[0].gate == GATES["strict"].label
        assert place.examiner.exams[0].dataset == "abcd"
        # It has passed, so that a person may promote it.
        await place.change("promote", "mine", model=place.a, share=0.25, reason="try it")
        await place.until(ModelPromoted, 1)
    (promoted,) = place.said(ModelPromoted)
    assert (promoted.share, promoted.champion, promoted.reason) == (0.25, None, "try it")
    assert (place.champions.serving().champion, place.champions.serving().challenger) == (None, place.a)


async def test_what_cannot_be_examined_is_a_dead_letter_with_the_reason(place: Place) -> None:
    place.examiner.hurdles = [Measured(unknown='no adapter "x" in /models')]
    async with place.serving():
        await place.evaluate("x", "q-1")
        await place.until_refused(EvaluationRequested, 1)
        await place.evaluate(place.a, "q-2", gate="lax")
        await place.until_refused(EvaluationRequested, 2)
    assert sorted(place.refusals(EvaluationRequested)) == [
        'no adapter "x" in /models',
        'no gate "lax": there are default, strict',
    ]
    assert place.said(ModelEvaluated) == []


async def test_a_damaged_candidate_fails_and_an_examination_that_has_to_wait_is_the_same_one(place: Place) -> None:
    place.examiner.hurdles = [Retryable("the registry is away"), Measured(refused="its weights hold no numbers")]
    async with place.serving():
        await place.evaluate(place.a, "q-1")
        await place.until(ModelEvaluated, 1)
    first, second = place.examiner.exams
    assert first == second
    (said,) = place.said(ModelEvaluated)
    assert (said.passed, said.reasons, said.checks) == (False, ("its weights hold no numbers",), ())


async def test_the_champion_is_not_examined_against_itself(place: Place) -> None:
    async with place.serving():
        await place.evaluate(place.a, "q-1")
        await place.until(ModelPromoted, 1)
        await place.evaluate(place.a, "q-2")
        await place.until(ModelEvaluated, 2)
    assert place.said(ModelEvaluated)[1].reasons == ("it serves already: there is nothing to compare it with",)
    assert len(place.examiner.exams) == 1


async def test_who_was_compared_with_another_champion_is_examined_again(place: Place) -> None:
    async with place.serving():
        for model in (place.a, place.b):
            await place.evaluate(model, f"q-{model}", promote=False)
        await place.until(ModelEvaluated, 2)
        await place.change("promote", "first", model=place.a)
        await place.until(ModelPromoted, 1)
        await place.change("promote", "second", model=place.b)
        await place.until(ModelPromoted, 2)
    (again,) = [it for it in place.said(EvaluationRequested) if it.request_id == "again-second"]
    assert (again.model, again.reason) == (place.b, "champion-changed")
    (third,) = [it for it in place.said(ModelEvaluated) if it.request_id == "again-second"]
    assert (third.model, third.champion) == (place.b, place.a)
    assert [(it.model, it.previous) for it in place.said(ModelPromoted)] == [(place.a, None), (place.b, place.a)]


async def test_rollbacks_bring_back_what_served_before_down_to_the_bare_base(place: Place) -> None:
    async with place.serving():
        for number, model in enumerate((place.a, place.b, place.c), start=1):
            await place.change("promote", f"p-{number}", model=model, force=True, share=0.1 if model == place.c else 1)
        for number in range(3):
            await place.change("rollback", f"r-{number}", reason="it disappoints")
        # Asked twice, done once.
        await place.change("rollback", "r-0", reason="it disappoints")
        await place.change("rollback", "r-3")
        await place.until_refused(PromotionRequested, 1)
    backs = place.said(ModelRolledBack)
    assert [(it.rolled_back, it.model, it.revision) for it in backs] == [
        (place.c, place.b, 4), (place.b, place.a, 5), (place.a, None, 6), (place.c, place.b, 4),
    ]  # fmt: skip
    assert {it.reason for it in backs} == {"it disappoints"}
    assert place.refusals(PromotionRequested) == [
        "nothing was promoted: the bare base serves, and there is nothing before it"
    ]
    assert [it.evaluation for it in place.said(ModelPromoted)] == [None] * 3


async def test_what_must_not_serve_is_refused_with_the_remedy(place: Place) -> None:
    place.examiner.bad = {place.b}
    with (place.adapters.folder / place.c / WEIGHTS).open("ab") as file:
        file.write(b"more")
    async with place.serving():
        await place.evaluate(place.b, "q-1")
        await place.until(ModelEvaluated, 1)
        await place.change("promote", "1", model=place.a)
        await place.change("promote", "2", model=place.b)
        await place.change("promote", "3", model=place.c, force=True)
        await place.change("promote", "4", model="mine-000000000000", force=True)
        await place.change("promote", "5", model=place.a, force=True)
        await place.change("promote", "6", model=place.a, force=True)
        await place.change("promote", "7", model=place.b, force=True, share=0.5)
        await place.change("promote", "8", model=place.b, force=True, share=0.5)
        await place.change("rollback", "9", model=place.a)
        await place.until_refused(PromotionRequested, 7)
    found = place.refusals(PromotionRequested)
    beginnings = (
        f"{place.a} has not been examined: tailrace evaluate {place.a}, or tailrace models promote {place.a} --force",
        f"{place.b} has not passed (preference_accuracy: ",
        f"{place.c} is damaged: ",
        'no adapter "mine-000000000000" in ',
        f"{place.a} serves already",
        f"{place.b} serves 0.5 of the conversations already",
        f"{place.a} is not what was promoted last: {place.b} is",
    )
    for said, beginning in zip(found, beginnings, strict=True):
        assert said.startswith(beginning)
    assert [it.model for it in place.said(ModelPromoted)] == [place.a, place.b]


async def test_trained_adapters_wait_to_be_asked_for_where_an_operator_wants_that(place: Place) -> None:
    place.by_itself = False
    async with place.serving():
        await place.say(trained(place.a))
        await place.evaluate(place.b, "q-1")
        await place.until(ModelEvaluated, 1)
    assert [it.model for it in place.said(ModelEvaluated)] == [place.b]
    assert len(place.said(EvaluationRequested)) == 1
