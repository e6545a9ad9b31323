"""The stations of the loop, over a running stack: feedback, data set, training, gate, promotion, sabotage, rollback."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from infra.local.home import Home
from libs.bus import Bus, decode
from libs.clock import utc_now
from libs.datasets import Dataset, Datasets, read_policy
from libs.datasets.log import announce, publish
from schemas.evaluation import ModelEvaluated, ModelPromoted, PromotionRequested
from schemas.feedback import ExampleRecorded, Judgement
from schemas.topics import topic_of
from schemas.training import ModelTrained, TrainingRequested
from services.console.demo.loop import script
from services.console.demo.loop.report import Answer, Candidate, Judged, Loop
from services.console.demo.upstream import Upstream
from services.console.domain.errors import ConsoleError
from services.console.handlers.asking import PROMOTION, TRAINING, Following
from services.console.handlers.following import recent
from services.console.ports import Silent

PATIENCE = 900.0
"""Seconds for a training or an examination."""
Say = Callable[[str], None]


async def the_loop(bus: Bus, upstream: Upstream, home: Home, say: Say) -> Loop:
    """All of it. Raises ConsoleError, TimeoutError."""
    began = time.perf_counter()
    asked = script.questions()
    learned, later = asked[: script.LEARNED_FROM], asked[script.LEARNED_FROM :][: script.ASKED_AFTER]
    before = await _answers(upstream, later)
    say(f"{len(learned)} people ask, and edit what they get: it is to begin with “{script.PREFERRED.strip()}”")
    datasets = Datasets(home.datasets)
    judged = await _judged(bus, upstream, datasets, learned)
    say("training on what they said, and examining what comes of it")
    candidate = await _candidate(bus, judged.dataset)
    began_serving = await _promoted(bus, upstream, candidate.model, later[0]) if candidate.passed else None
    after = await _answers(upstream, later)
    say("training on the same judgements, turned round, and examining that")
    sabotaged = await _candidate(bus, (await _turned_round(bus, datasets)).name)
    [still, *_] = await _answers(upstream, later[:1])
    say("rolling back")
    back = await _rolled_back(bus, upstream, later[0]) if candidate.passed else None
    return Loop(
        judged=judged,
        candidate=candidate,
        before=before,
        promotion_seconds=began_serving,
        after=after,
        sabotaged=sabotaged,
        still_serves=still.adapter,
        rolled_back=candidate.model if candidate.passed else None,
        rollback_seconds=back,
        after_rollback=await _answers(upstream, later),
        seconds=round(time.perf_counter() - began, 1),
    )


async def _answers(upstream: Upstream, questions: Iterable[str]) -> tuple[Answer, ...]:
    asked = list(questions)
    outcomes = await upstream.ask_all([_prompt(question) for question in asked], within=PATIENCE)
    return tuple(map(_answer, asked, outcomes))


def _prompt(question: str) -> dict[str, Any]:
    return {
        "prompt_id": f"demo-{uuid.uuid4().hex[:12]}",
        "messages": [{"role": "user", "content": question}],
        "parameters": script.PARAMETERS,
        "grounding": {"mode": "off"},
    }


def _answer(question: str, outcome: dict[str, Any]) -> Answer:
    if outcome["status"] != "answered":
        raise ConsoleError(f'"{question}" was not answered: {outcome["reason"]["message"]}')
    return Answer(question=question, text=outcome["text"], adapter=outcome["model"]["adapter"])


async def _judged(bus: Bus, upstream: Upstream, datasets: Datasets, questions: Sequence[str]) -> Judged:
    began = time.perf_counter()
    outcomes = await upstream.ask_all([_prompt(question) for question in questions], within=PATIENCE)
    for number, (question, outcome) in enumerate(zip(questions, outcomes, strict=True)):
        answer = _answer(question, outcome)
        await upstream.judge(
            {
                "feedback_id": f"demo-{outcome['response_id']}"[:128],
                "response_id": outcome["response_id"],
                "kind": "edit",
                "value": script.preferred(answer.text),
                "subject": f"person-{number}",
                "consent": {"training": True},
            }
        )
    async with asyncio.timeout(PATIENCE):
        while len(await _examples(bus)) < len(questions):  # noqa: ASYNC110 - a compacted topic sets no event
            await asyncio.sleep(0.2)
    made = await publish(bus, datasets, read_policy(script.FOLDER / "policy.yaml"))
    await announce(bus, datasets, made.dataset, "console", utc_now)
    manifest = made.dataset.manifest
    return Judged(
        wish=script.PREFERRED.strip(),
        answers=len(questions),
        dataset=made.dataset.name,
        rows={kind: dict(splits) for kind, splits in manifest.rows.items()},
        seconds=round(time.perf_counter() - began, 1),
    )


async def _examples(bus: Bus) -> list[ExampleRecorded]:
    """Of the tour's users: what the log holds of them now."""
    found: dict[bytes, ExampleRecorded] = {}
    async for record in recent(bus, topic_of(ExampleRecorded).name, None):
        if record.value is not None and b"person-" in record.value:
            found[record.key or b""] = decode(record, ExampleRecorded)
    return list(found.values())


async def _turned_round(bus: Bus, datasets: Datasets) -> Dataset:
    """The data set of the same examples in which each answer is what people wanted, and their edit what they got."""
    turned = []
    for example in await _examples(bus):
        (judgement,) = example.judgements
        edit = Judgement.model_validate({**judgement.model_dump(), "value": example.text})
        turned.append(example.model_copy(update={"text": str(judgement.value), "judgements": (edit,)}))
    policy = read_policy(script.FOLDER / "policy.yaml").model_copy(update={"name": "turned-round"})
    return (await asyncio.to_thread(datasets.publish, turned, policy)).dataset


async def _candidate(bus: Bus, dataset: str) -> Candidate:
    """Trained on the data set, and examined by itself."""
    topic = topic_of(ModelEvaluated).name
    starts = await bus.end_offsets(topic)
    began = time.perf_counter()
    request = TrainingRequested(request_id=f"demo-{uuid.uuid4().hex[:12]}", recipe="demo", dataset=dataset)
    async with asyncio.timeout(PATIENCE):
        trained = await Following(bus, TRAINING, request, Silent(), utc_now).run()
    assert isinstance(trained, ModelTrained)
    took = round(time.perf_counter() - began, 1)
    said = ModelEvaluated.model_validate(await _heard(bus, topic, starts, "model", trained.model))
    return Candidate(
        model=trained.model,
        rows=trained.rows,
        steps=trained.steps,
        train_seconds=took,
        passed=said.passed,
        reasons=said.reasons,
        checks=said.checks,
        exam_seconds=round(said.seconds, 1),
    )


async def _promoted(bus: Bus, upstream: Upstream, model: str, question: str) -> float:
    """Seconds from the promotion until the first answer that the adapter has written."""
    topic = topic_of(ModelPromoted).name
    await _heard(bus, topic, await bus.start_offsets(topic), "model", model)
    return await _until_served_by(upstream, model, question)


async def _heard(bus: Bus, topic: str, starts: Mapping[int, int], name: str, value: str) -> dict[str, Any]:
    """The body of the first record of which one field has that value."""
    async with asyncio.timeout(PATIENCE), aclosing(bus.follow(topic, starts)) as batches:
        async for records in batches:
            for record in records:
                body: dict[str, Any] = json.loads(record.value or b"{}")
                if body.get(name) == value:
                    return body
    raise ConsoleError(f"{topic} ended")


async def _rolled_back(bus: Bus, upstream: Upstream, question: str) -> float:
    """Seconds until the first answer that no adapter has written."""
    began = time.perf_counter()
    wish = PromotionRequested(request_id=f"demo-{uuid.uuid4().hex[:12]}", action="rollback", reason="the tour is over")
    async with asyncio.timeout(PATIENCE):
        await Following(bus, PROMOTION, wish, Silent(), utc_now).run()
    await _until_served_by(upstream, None, question)
    return round(time.perf_counter() - began, 2)


async def _until_served_by(upstream: Upstream, adapter: str | None, question: str) -> float:
    """Seconds until the first answer by it."""
    began = time.perf_counter()
    async with asyncio.timeout(PATIENCE):
        while (await _answers(upstream, [question]))[0].adapter != adapter:
            pass
    return round(time.perf_counter() - began, 2)
