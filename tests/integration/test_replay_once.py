"""Replay on the real broker: an id that has its outcome gets no second one; asked anew, it gets one of its own."""

import asyncio
import json
from pathlib import Path

import pytest
from aiokafka.errors import KafkaError

from libs.bus import SHADOW_HEADER, Outgoing, Record
from libs.bus.kafka import KafkaBus
from libs.sealing import write_key_file
from schemas.topics import CATALOGUE
from services.console.domain.addresses import Address
from services.console.domain.mending import changed
from services.console.domain.writing_back import asked_anew, record_it_was, written_back
from services.console.handlers import writing_back
from services.console.handlers.writing_back import Chosen
from services.ingestion.app import create_app as create_ingestion
from services.post_processing.app import create_app as create_post_processing
from services.post_processing.settings import PostProcessingSettings
from tests.support.services import everything, first, running

pytestmark = pytest.mark.broker

WRONG = b'{"prompt_id": "p-1", "messages": [{"role": "user", "content": "hi"}], "temprature": 1}'
EMPTY = b'{"prompt_id": "p-0~r1", "messages": [{"role": "user", "content": " "}]}'
MARK = b'{"run": "r1", "prompt_id": "p-0", "conversation_id": "c-0", "submitted_at": "2026-01-01T00:00:00Z"}'


async def send(bus: KafkaBus, record: Outgoing) -> None:
    producer = await bus.producer()
    await (await producer.send(record))
    await producer.stop()


async def back(bus: KafkaBus, letter: Record, *, as_new: bool) -> None:
    """Writes the mended letter back, whatever outcome there is."""
    address = Address(letter.topic, letter.partition, letter.offset)
    base = record_it_was(letter)
    mended = changed(base.value, [], ["temprature"])
    body = asked_anew(mended, address) if as_new else mended
    await send(bus, written_back(base, body, address, len(await bus.partitions(base.topic))))


@pytest.fixture
async def bus(kafka: KafkaBus) -> KafkaBus:
    """The bus once the broker serves every fresh topic: on a busy machine that takes a moment after their creation."""
    async with asyncio.timeout(60):
        for topic in CATALOGUE:
            while not await served(kafka, topic.name):  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(0.05)
    return kafka


async def served(kafka: KafkaBus, topic: str) -> bool:
    try:
        return bool(await kafka.end_offsets(topic))
    except (LookupError, KafkaError):
        return False


async def test_a_mended_prompt_is_answered_under_a_new_id_and_never_a_second_time_under_its_own_and_a_shadow_beside(
    bus: KafkaBus, tmp_path: Path
) -> None:
    write_key_file(tmp_path / "seal.json")
    ending = create_post_processing(PostProcessingSettings(seal_key_file=tmp_path / "seal.json"))
    async with running(create_ingestion(), bus), running(ending, bus):
        await send(bus, Outgoing("prompt-submitted", b"p-1", WRONG, (), 1))
        refused = json.loads((await first(bus, "response-ready")).value or b"")
        assert (refused["prompt_id"], refused["status"]) == ("p-1", "refused")
        letter = await first(bus, "prompt-submitted-dlq")
        base = await writing_back.base_of(bus, letter, as_new=False)
        mended = Chosen(letter, base, changed(base.value, [], ["temprature"]))
        [left] = await writing_back.plan(bus, [mended], as_new=False)
        assert left.outgoing is None
        assert "refused (invalid_request) at response-ready/" in left.says

        await back(bus, letter, as_new=False)
        await back(bus, letter, as_new=True)
        accepted = json.loads((await first(bus, "prompt-accepted")).value or b"")
        assert accepted["prompt_id"].startswith("p-1~"), "the old id went by and led to nothing"
        await send(bus, Outgoing("prompt-submitted-batch", b"p-0~r1", EMPTY, ((SHADOW_HEADER, MARK),), 0))
        ended = await first(bus, "response-shadow")
    told = json.loads(ended.value or b"")
    assert (told["status"], told["shadow"]["prompt_id"], ended.partition) == ("refused", "p-0", 0)
    assert await everything(bus, "response-ready-batch") == []
    assert len(await everything(bus, "prompt-accepted")) == 1
    assert len(await everything(bus, "response-ready")) == 1
