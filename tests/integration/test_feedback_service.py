"""The feedback service on the real broker: events in, examples and dead letters out, across a death in the middle."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from libs.bus import INPUT_HEADER, Outgoing, encode, header
from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from libs.settings import BusSettings
from schemas.feedback import ExampleRecorded
from schemas.topics import CATALOGUE, topic_of
from services.feedback.app import create_app
from services.feedback.settings import FeedbackSettings
from tests.support.services import everything, first, publish, running
from tests.unit.feedback.parts import answer, erasure, feedback, outcome, prompt

pytestmark = pytest.mark.broker

HEARD = tuple(topic.name for topic in CATALOGUE if "feedback" in topic.consumers)
TOPICS = (*HEARD, *(f"{name}-dlq" for name in HEARD), "example-recorded", "prompt-failed")
JUST_NOW = utc_now()
QUICK = FeedbackSettings(sweep_every=timedelta(milliseconds=100), store_url=None)


@pytest.fixture
async def kafka(make_kafka: Callable[..., Awaitable[BusSettings]]) -> AsyncIterator[KafkaBus]:
    """A bus on fresh topics: those that the service hears and says."""
    bus = KafkaBus(await make_kafka(*TOPICS), client_id="test")
    yield bus
    await bus.close()


@asynccontextmanager
async def serving(bus: KafkaBus, folder: Path, settings: FeedbackSettings = QUICK) -> AsyncIterator[None]:
    """The service with its store in the folder."""
    async with running(create_app(settings), bus, folder):
        yield


async def answered(bus: KafkaBus) -> None:
    """A prompt's three records, as the path writes them."""
    await publish(bus, prompt())
    await publish(bus, answer())
    producer = await bus.producer()
    headers = ((INPUT_HEADER, b"completion-cleared/1/0"),)
    event = outcome(created_at=JUST_NOW)
    await (await producer.send(Outgoing("response-ready", event.key.encode(), encode(event), headers, 1)))
    await producer.stop()


async def judgements(bus: KafkaBus, count: int) -> list[str]:
    """The ids of an example's judgements, once there are so many."""
    record = await first(bus, "example-recorded", lambda body: len(body["judgements"]) == count)
    example = ExampleRecorded.model_validate_json(record.value or b"")
    assert record.key == example.response_id.encode()
    return [judgement.feedback_id for judgement in example.judgements]


async def test_early_and_late_feedback_become_one_example_and_an_erasure_empties_it(
    kafka: KafkaBus, tmp_path: Path
) -> None:
    async with serving(kafka, tmp_path):
        await publish(kafka, feedback("edit", "Better.", subject="s-1", created_at=None), partition=0)
        await answered(kafka)
        assert await judgements(kafka, 1) == ["f-1"]
        await publish(kafka, feedback("rating", 5, feedback_id="f-2"), partition=0)
        assert await judgements(kafka, 2) == ["f-1", "f-2"]
        await publish(kafka, erasure("s-1"))
        emptied = await first(
            kafka, "example-recorded", lambda body: [j["feedback_id"] for j in body["judgements"]] == ["f-2"]
        )
        assert b"Better." not in (emptied.value or b"")


async def test_a_service_that_starts_again_goes_on_where_it_was(kafka: KafkaBus, tmp_path: Path) -> None:
    async with serving(kafka, tmp_path):
        await publish(kafka, feedback())
        await answered(kafka)
        assert await judgements(kafka, 1) == ["f-1"]
    before = await everything(kafka, "example-recorded")
    # Everything comes once more, as after a death before the commit, to a store that knows it.
    await answered(kafka)
    await publish(kafka, feedback())
    await publish(kafka, feedback(feedback_id="f-2"))
    async with serving(kafka, tmp_path):
        assert await judgements(kafka, 2) == ["f-1", "f-2"]
    assert len(await everything(kafka, "example-recorded")) == len(before) + 1


async def test_what_comes_to_nothing_is_a_dead_letter_with_its_reason(kafka: KafkaBus, tmp_path: Path) -> None:
    impatient = QUICK.model_copy(update={"wait_for": timedelta(milliseconds=200)})
    async with serving(kafka, tmp_path, impatient):
        await publish(kafka, feedback(response_id="resp_nobody"))
        letter = await first(kafka, "feedback-submitted-dlq", lambda body: body["response_id"] == "resp_nobody")
        assert header(letter, "dlq_code") == b"deadline_exceeded"
        assert b"became known" in (header(letter, "dlq_reason") or b"")
        await publish(kafka, outcome(prompt_id="p-2", status="refused", created_at=JUST_NOW))
        about = outcome(prompt_id="p-2").response_id
        await publish(kafka, feedback(response_id=about))
        letter = await first(kafka, "feedback-submitted-dlq", lambda body: body["response_id"] == about)
        assert b"refused" in (header(letter, "dlq_reason") or b"")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"value": 9, "kind": "rating"}, b"1 to 5"),
        ({"comment": "x" * 1_000_000}, b"comment"),
        ({"stars": 5}, b'unknown field "stars"'),
        ({"value": [True]}, b"a whole number"),
        ({"feedback_id": "a\u0000b"}, b"control characters"),
    ],
)
async def test_a_malformed_record_is_told_so(
    change: dict[str, object], told: bytes, kafka: KafkaBus, tmp_path: Path
) -> None:
    body = json.dumps({**json.loads(encode(feedback())), **change}).encode()
    async with serving(kafka, tmp_path):
        producer = await kafka.producer()
        await (await producer.send(Outgoing("feedback-submitted", b"k", body)))
        await producer.stop()
        letter = await first(kafka, "feedback-submitted-dlq")
    assert told in (header(letter, "dlq_reason") or b"")


async def test_a_broken_record_of_the_path_is_no_outcome_of_the_prompt(kafka: KafkaBus, tmp_path: Path) -> None:
    async with serving(kafka, tmp_path):
        producer = await kafka.producer()
        topic = topic_of(type(prompt())).name
        await (await producer.send(Outgoing(topic, b"c", b'{"prompt_id": "p-1", "tenant": "acme"}')))
        await producer.stop()
        assert header(await first(kafka, f"{topic}-dlq"), "dlq_stage") == b"feedback"
    assert not await everything(kafka, "prompt-failed")
