"""A thousand hostile records on every public topic beside the prompt path: what feedback, retraining, evaluation hear.

TAILRACE_FAULTS_CASES sets how many for each topic, TAILRACE_FAULTS_SEED which; a failure names both.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.bus import INPUT_HEADER, Outgoing, Record, Rejected, decode, encode
from libs.bus.kafka import KafkaBus
from libs.bus.records import StoredRecord
from libs.clock import utc_now
from libs.settings import BusSettings
from schemas.base import Event
from schemas.feedback import FeedbackSubmitted, SubjectErased
from schemas.topics import CATALOGUE
from services.evaluation.app import create_app as create_evaluation
from services.evaluation.domain.exam import Exam, Measured
from services.evaluation.examination.errors import RefusedError, UnknownError
from services.evaluation.examination.opening import opened
from services.evaluation.settings import EvaluationSettings
from services.feedback.app import create_app as create_feedback
from services.feedback.settings import FeedbackSettings
from services.retraining.app import create_app as create_retraining
from services.retraining.settings import RetrainingSettings
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
from tests.support.services import first, publish, running
from tests.support.whole_path import behind
from tests.unit.feedback.parts import answer, feedback, outcome, prompt

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]
HEARD = {
    topic.name: topic.consumers[0]
    for topic in CATALOGUE
    if topic.access == "public-input" and topic.name not in OF_THE_PATH
}
"""By whom."""
NEEDS_NO_WORD: Mapping[str, type[Event]] = {"feedback-submitted": FeedbackSubmitted, "subject-erased": SubjectErased}
"""What is in order here waits for its answer, or is done in silence. All else asks for what there is not."""


@dataclass
class Aftermath:
    """What was sent, and what was found in the log when nothing was left to do."""

    sent: dict[Place, Case] = field(default_factory=dict)
    letters: dict[Place, Record] = field(default_factory=dict)
    went_on: bool = False
    """Good feedback after all of it became an example."""


class AtTheDoor:
    """Examines as far as there is anything to examine: an examination in this process, which never gets far here."""

    async def examine(self, exam: Exam) -> AsyncGenerator[Measured]:
        """As services/evaluation/examination begins."""
        try:
            await asyncio.to_thread(opened, exam, None)
        except RefusedError as error:
            yield Measured(refused=str(error))
        except UnknownError as error:
            yield Measured(unknown=str(error))


@pytest.fixture(scope="module")
async def aftermath(shared_broker: str, tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    settings, folder = await fresh_topics(shared_broker), tmp_path_factory.mktemp("loop")
    print(REPEAT)
    bus, found = KafkaBus(settings, client_id="test"), Aftermath()
    async with AsyncExitStack() as left:
        left.push_async_callback(bus.close)
        await serve(bus, folder, left)
        for topic in HEARD:
            await flood(settings, topic, found)
        await nothing_left(bus, settings)
        await a_good_judgement(bus)
        found.went_on = True
        for topic in HEARD:
            found.letters |= {origin(letter): letter for letter in await everything(bus, f"{topic}-dlq")}
    return found


async def a_good_judgement(bus: KafkaBus) -> None:
    """Becomes an example."""
    await publish(bus, prompt())
    await publish(bus, answer())
    producer = await bus.producer()
    event, cause = outcome(created_at=utc_now()), ((INPUT_HEADER, b"completion-cleared/1/0"),)
    await (await producer.send(Outgoing("response-ready", event.key.encode(), encode(event), cause, 1)))
    await producer.stop()
    await publish(bus, feedback("thumb", True))
    await first(bus, "example-recorded", lambda body: bool(body["judgements"]))


async def serve(bus: KafkaBus, folder: Path, left: AsyncExitStack) -> None:
    services = (
        create_feedback(FeedbackSettings(sweep_every=timedelta(milliseconds=200))),
        create_retraining(RetrainingSettings(device="cpu", threads=1)),
        create_evaluation(EvaluationSettings(device="cpu", threads=1, documents=0), examiner=AtTheDoor()),
    )
    for service in services:
        await left.enter_async_context(running(service, bus, folder))


async def flood(settings: BusSettings, topic: str, found: Aftermath) -> None:
    async with writer(settings) as producer:
        sent = [(case, await send(producer, settings, case)) for case in cases(topic, CASES, SEED)]
        for case, future in sent:
            found.sent[topic, case.partition, (await future).offset] = case


async def nothing_left(bus: KafkaBus, settings: BusSettings) -> None:
    groups = {group: [topic for topic, by in HEARD.items() if by == group] for group in HEARD.values()}
    async with asyncio.timeout(120 + CASES / 10):
        while await behind(bus, settings, groups):  # noqa: ASYNC110 - a broker tells nobody
            await asyncio.sleep(0.5)


@pytest.fixture(autouse=True)
def how_to_repeat() -> None:
    """A failure shows what was printed."""
    print(REPEAT)


def test_every_public_topic_is_flooded_somewhere() -> None:
    assert set(HEARD) == {
        *("feedback-submitted", "subject-erased"),
        *("training-requested", "evaluation-requested", "promotion-requested"),
    }


def test_every_hostile_record_ends_in_a_clear_word_and_the_services_go_on(aftermath: Aftermath) -> None:
    silent = [
        (place, case.kind, (case.value or b"")[:300])
        for place, case in aftermath.sent.items()
        if place not in aftermath.letters and not _in_order(case)
    ]
    assert len(aftermath.sent) == CASES * len(HEARD)
    assert silent == []
    assert aftermath.went_on


def _in_order(case: Case) -> bool:
    event = NEEDS_NO_WORD.get(case.topic)
    if event is None:
        return False
    try:
        headers: Any = tuple(case.headers)
        decode(StoredRecord(case.topic, 0, 0, 0, case.key, case.value, headers), event)
    except Rejected:
        return False
    return True


def test_what_can_be_read_is_given_up_for_its_headers_or_its_ids_only(aftermath: Aftermath) -> None:
    in_order = [place for place, case in aftermath.sent.items() if _in_order(case)]
    reasons = {text(aftermath.letters[place], "dlq_reason") for place in in_order if place in aftermath.letters}
    assert {it for it in reasons if not it.startswith('header "') and "holds control characters" not in it} == set()
    for topic in NEEDS_NO_WORD:
        kept = [place for place in in_order if place[0] == topic and place not in aftermath.letters]
        assert len(kept) > CASES / 50


def test_every_reason_is_a_short_sentence_that_quotes_nobody_and_no_bug(aftermath: Aftermath) -> None:
    reasons = [(text(it, "dlq_code"), text(it, "dlq_reason")) for it in aftermath.letters.values()]
    assert [fault for reason in reasons for fault in faults(*reason)] == []
    assert [reason for reason in reasons if reason[0] == "internal_error"] == []
