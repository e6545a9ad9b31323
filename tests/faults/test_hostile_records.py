"""A thousand hostile records on every public topic of the prompt path, good prompts among them: nothing stops.

Each ends in a clear word. test_hostile_loop.py has the other public topics.

TAILRACE_FAULTS_CASES sets how many for each topic, TAILRACE_FAULTS_SEED which; a failure names both.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from libs.bus import Record, Rejected, cause_of, decode
from libs.bus.records import StoredRecord
from libs.settings import BusSettings
from schemas.prompts import PromptCancelled
from schemas.topics import CATALOGUE
from tests.support.hostile import Case, cases
from tests.support.hostile.floods import (
    CASES,
    OF_THE_PATH,
    REPEAT,
    SEED,
    Place,
    everything,
    faults,
    fresh_topics,
    origin,
    send,
    text,
    writer,
)
from tests.support.whole_path import whole_path

pytestmark = pytest.mark.timeout(900)
PROMPTS = ("prompt-submitted", "prompt-submitted-batch")
ANSWERS = (
    *("prompt-accepted", "prompt-accepted-batch", "prompt-refused", "prompt-refused-batch", "prompt-failed"),
    *("prompt-failed-batch", "prompt-repeated", "prompt-repeated-batch", "document-accepted", "document-refused"),
)
OF_PROMPTS = tuple(name for name in ANSWERS if name.startswith(("prompt-accepted", "prompt-refused", "prompt-failed")))
EVERY = max(1, CASES // 10)
"""How many hostile records stand between two good ones."""


@dataclass
class Aftermath:
    """What was sent, and what was found in the log when nothing was left to do."""

    sent: dict[Place, Case] = field(default_factory=dict)
    good: dict[str, str] = field(default_factory=dict)
    """Topic of each good prompt, by its id."""
    records: dict[str, list[Record]] = field(default_factory=dict)
    unwell: list[str] = field(default_factory=list)
    lag: dict[str, int] = field(default_factory=dict)

    @property
    def letters(self) -> dict[Place, Record]:
        """Dead letters of all topics, by the place of the record they are about."""
        return {origin(r): r for name, found in self.records.items() if name.endswith("-dlq") for r in found}

    @property
    def outcomes(self) -> dict[str, dict[str, Any]]:
        """The last outcome of each prompt id."""
        found = [
            json.loads(r.value or b"")
            for name in ("response-ready", "response-ready-batch")
            for r in self.records[name]
        ]
        return {outcome["prompt_id"]: outcome for outcome in found}

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """Every code and sentence that was given to anybody."""
        told = [(text(r, "dlq_code"), text(r, "dlq_reason")) for r in self.letters.values()]
        bodies = [json.loads(r.value or b"") for r in self.records["document-refused"]]
        given = [body["reason"] for body in (*bodies, *self.outcomes.values()) if body.get("reason")]
        return told + [(reason["code"], reason["message"]) for reason in given]


@pytest.fixture(scope="module")
async def aftermath(shared_broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Aftermath]:
    settings = await fresh_topics(shared_broker)
    print(REPEAT)
    async with whole_path(settings, tmp_path_factory.mktemp("path")) as path:
        found = Aftermath()
        for topic in OF_THE_PATH:
            await flood(path.settings, topic, found)
        await path.nothing_left(150 + CASES / 10)
        found.unwell, found.lag = await path.unwell(), await path.lag()
        for name in (topic.name for topic in CATALOGUE):
            found.records[name] = await everything(path.bus, name)
        yield found


async def flood(settings: BusSettings, topic: str, found: Aftermath) -> None:
    """Writes the hostile records, and a good prompt to each partition before, among and after them."""
    waiting: list[tuple[Case | None, asyncio.Future[Any]]] = []
    async with writer(settings) as producer:
        for number, case in enumerate(cases(topic, CASES, SEED)):
            if number % EVERY in (0, 1):
                waiting.append((None, await good_one(producer, settings, topic, case.partition, found)))
            waiting.append((case, await send(producer, settings, case)))
        waiting += [(None, await good_one(producer, settings, topic, partition, found)) for partition in range(2)]
        for sent, future in waiting:
            written = await future
            if sent is not None:
                found.sent[topic, sent.partition, written.offset] = sent


async def good_one(
    producer: AIOKafkaProducer, settings: BusSettings, topic: str, partition: int, found: Aftermath
) -> "asyncio.Future[Any]":
    name = f"good-{uuid.uuid4().hex}"
    if topic in PROMPTS:
        found.good[name] = topic
    body: dict[str, Any] = {
        "document-submitted": {"document_id": name, "content": f"# A good one\n\n{name}"},
        "prompt-cancelled": {"prompt_id": name},
    }.get(topic, {"prompt_id": name, "messages": [{"role": "user", "content": "hi"}]})
    return await send(producer, settings, Case("good", topic, partition, name.encode(), json.dumps(body).encode(), []))


@pytest.fixture(autouse=True)
def how_to_repeat() -> None:
    """A failure shows what was printed."""
    print(REPEAT)


def test_every_hostile_record_ends_in_a_clear_word(aftermath: Aftermath) -> None:
    answered = {cause_of(r) for name in ANSWERS for r in aftermath.records[name]}
    letters = aftermath.letters
    silent = [
        (place, case.kind)
        for place, case in aftermath.sent.items()
        if place not in letters and place not in answered and not _may_be_silent(place, case, aftermath)
    ]
    assert len(aftermath.sent) == CASES * len(OF_THE_PATH)
    assert silent == []
    assert all(text(letter, "dlq_reason") for letter in letters.values())


def _may_be_silent(place: Place, case: Case, aftermath: Aftermath) -> bool:
    """A well-formed cancellation has no answer of its own; a prompt repeated as it was, none but the first."""
    if case.topic == "prompt-cancelled":
        return _readable(case)
    return case.topic in PROMPTS and json.loads(case.value or b"").get("prompt_id") in aftermath.outcomes


def _readable(case: Case) -> bool:
    try:
        decode(StoredRecord(case.topic, 0, 0, 0, case.key, case.value), PromptCancelled)
    except Rejected:
        return False
    return True


def test_whoever_can_be_told_is_told(aftermath: Aftermath) -> None:
    """Each prompt that was accepted or refused has its outcome; so has each broken one whose id can be read."""
    known = {json.loads(r.value or b"")["prompt_id"] for name in OF_PROMPTS for r in aftermath.records[name]}
    assert known - set(aftermath.outcomes) == set()
    assert {outcome["status"] for outcome in aftermath.outcomes.values()} == {"answered", "refused", "failed"}


def test_good_prompts_before_among_and_after_are_answered(aftermath: Aftermath) -> None:
    statuses = {name: aftermath.outcomes.get(name, {}).get("status") for name in aftermath.good}
    assert set(statuses.values()) == {"answered"}
    assert len(statuses) >= 2 * 2 * 3


def test_every_service_is_ready_and_has_nothing_left_to_do(aftermath: Aftermath) -> None:
    assert aftermath.unwell == []
    assert aftermath.lag == {}


def test_no_hostile_record_meets_a_bug_of_ours(aftermath: Aftermath) -> None:
    bugs = [
        (place, text(letter, "dlq_reason"), aftermath.sent.get(place))
        for place, letter in aftermath.letters.items()
        if text(letter, "dlq_code") == "internal_error"
    ]
    assert bugs == []
    assert [message for code, message in aftermath.reasons if code == "internal_error"] == []


def test_every_reason_is_a_short_sentence_that_quotes_nobody(aftermath: Aftermath) -> None:
    assert [fault for reason in aftermath.reasons for fault in faults(*reason)] == []
