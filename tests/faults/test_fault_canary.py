"""kill -9 of evaluation while a candidate is tried: every answer is counted once, each share is given once."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.bus import Outgoing, decode, encode
from libs.bus.kafka import KafkaBus
from libs.model_registry import Adapters, Champions, Turn
from schemas.base import Event
from schemas.evaluation import ModelPromoted, PromotionRequested
from schemas.responses import ResponseReady
from schemas.topics import topic_of
from services.evaluation.adapters.watch import FOLDER
from services.evaluation.domain.trial import Trial
from tests.support.faults.crowd import PLAIN, Crowd, assert_kept
from tests.support.faults.family import Family
from tests.support.faults.fate import Fate
from tests.support.faults.in_peace import read
from tests.support.small_adapters import small

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("faults"), pytest.mark.timeout(300)]
PLAN = {
    "name": "default", "version": 1,
    "steps": [{"share": share, "minutes": 0, "conversations": 12} for share in (0.3, 0.6)],
    "rules": [{"measure": "refused", "by": 0.4}],
}  # fmt: skip
KILLS = 5
CHANGES = 20
"""What serves was changed by other tests of this broker: the ones here count on from above theirs."""


@pytest.fixture
async def folder(services: Family, tmp_path: Path) -> AsyncIterator[Path]:
    """Evaluation is there, with a plan that takes seconds."""
    (tmp_path / "canaries").mkdir()
    (tmp_path / "canaries" / "default.yaml").write_text(json.dumps(PLAN))
    yield tmp_path
    await services.leave("evaluation")


def fate_in(folder: Path) -> Fate:
    names = ("DATASETS", "MODELS", "REPORTS", "CANARIES", "REGISTRY_FOLDER")
    chosen = {name: str(folder / name.lower()) for name in names}
    # What its memory of itself does not hold is read from the log, in small pieces.
    chosen |= {"WATCH": "PT0.1S", "PROGRESS_EVERY": "PT0.1S"}
    return Fate(environ={f"TAILRACE_EVALUATION_{name}": value for name, value in chosen.items()})


async def say(crowd: Crowd, *events: Event) -> None:
    await crowd.publish([Outgoing(topic_of(type(it)).name, it.key.encode(), encode(it)) for it in events])


async def until_turns(models: Path, count: int) -> None:
    async with asyncio.timeout(60):
        while len(Champions(models).turns()) < count:  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.02)


async def test_a_trial_whose_watch_dies_again_and_again_counts_each_answer_once(
    services: Family, log: KafkaBus, crowd: Crowd, chance: random.Random, folder: Path
) -> None:
    models = folder / "models"
    killed = services.exits["evaluation"].count(-9)
    champion, candidate = (small(Adapters(models), number).name for number in (1.0, 2.0))
    await services.join("evaluation", fate=fate_in(folder))
    before = [
        PromotionRequested(request_id=f"b-{number}", action="promote", model=champion, force=True, share=0.5)
        if number % 2 == 0
        else PromotionRequested(request_id=f"b-{number}", action="rollback")
        for number in range(CHANGES)
    ]
    begins = {"force": True, "action": "promote"}
    await say(
        crowd,
        *before,
        PromotionRequested.model_validate({"request_id": "b", "model": champion, **begins}),
        PromotionRequested.model_validate({"request_id": "q", "model": candidate, "canary": "default", **begins}),
    )
    await until_turns(models, CHANGES + 2)

    enough = asyncio.Event()
    asking = asyncio.create_task(ask_on(crowd, enough))
    try:
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.05, 0.6))
            services.kill("evaluation")
            await services.ready("evaluation")
        await until_turns(models, CHANGES + 4)
    finally:
        # Not cancelled: what is about to be written would be asked, and nowhere on the log.
        enough.set()
        await asking

    assert services.exits["evaluation"].count(-9) == killed + KILLS
    turns = Champions(models).turns()[CHANGES + 1 :]
    assert [(turn.share, turn.canary) for turn in turns] == [(0.3, "default"), (0.6, "default"), (1.0, None)]
    said = [decode(record, ModelPromoted) async for record in read(log, topic_of(ModelPromoted).name)]
    assert len({it.revision for it in said if it.model == candidate}) == 3
    (file,) = (folder / "reports" / FOLDER).iterdir()
    kept = Trial.model_validate_json(file.read_bytes())
    assert counts(kept, turns) == counts(await undisturbed(log, kept, turns), turns)
    assert_kept(await crowd.verdict(), len(crowd.asked))
    await say(crowd, *(PromotionRequested(request_id=f"over-{number}", action="rollback") for number in range(2)))
    await until_turns(models, CHANGES + 6)


async def ask_on(crowd: Crowd, enough: asyncio.Event) -> None:
    number = 0
    while not enough.is_set():
        number += 1
        await crowd.ask(1, **{**PLAIN, "conversation_id": f"trial-{len(crowd.asked)}-{number}"})
        await asyncio.sleep(0.01)


def counts(trial: Trial, turns: tuple[Turn, ...]) -> tuple[int, int]:
    """Of both steps together: an answer of the moment in which one led to the other may be counted with either."""
    sides = [trial.at(turn.revision).refused for turn in turns[:2]]
    return sum(it["candidate"].of for it in sides), sum(it["champion"].of for it in sides)


async def undisturbed(log: KafkaBus, kept: Trial, turns: tuple[Turn, ...]) -> Trial:
    """As somebody who never died would have counted what was read."""
    topic = topic_of(ResponseReady).name
    trial = Trial(model=kept.model, champion=kept.champion)
    async for record in read(log, topic):
        if record.offset < kept.positions[topic].get(record.partition, 0):
            trial.take_outcome(decode(record, ResponseReady), turns[:2], 1.25)
    return trial
