"""How many hostile records and which; writes them, and reads what was said of them."""

import asyncio
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aiokafka import AIOKafkaProducer

from infra.kafka import ensure_topics
from libs.bus import Record
from libs.bus.kafka import KafkaBus
from libs.settings import BusSettings
from schemas.topics import CATALOGUE
from tests.support.hostile.bodies import PERSON
from tests.support.hostile.cases import Case

CASES = int(os.environ.get("TAILRACE_FAULTS_CASES", "1000"))
"""For each topic."""
SEED = int(os.environ.get("TAILRACE_FAULTS_SEED", "4"))
REPEAT = f"TAILRACE_FAULTS_CASES={CASES} TAILRACE_FAULTS_SEED={SEED}"
"""How, printed where something fails."""
OF_THE_PATH = ("prompt-submitted", "prompt-submitted-batch", "document-submitted", "prompt-cancelled")
"""Public input that the prompt path hears."""
Place = tuple[str, int, int]
"""Topic, partition, offset."""
_NOT_FOR_PEOPLE = re.compile(
    r"Traceback|File \"|\b[A-Z][A-Za-z]+(Error|Exception)\b|\b0x[0-9a-f]{6,}|<class |\bNoneType\b"
)
_PERSONAL = (PERSON, *PERSON.split(", "), "Jane", "example.org")


async def fresh_topics(bootstrap_servers: str) -> BusSettings:
    """The whole catalogue, for a module of tests."""
    settings = BusSettings(
        bootstrap_servers=bootstrap_servers, topic_prefix=f"t{uuid.uuid4().hex[:12]}-", topic_partitions=2
    )
    await ensure_topics(settings, [replace(t, name=settings.topic_prefix + t.name) for t in CATALOGUE])
    return settings


def writer(settings: BusSettings) -> AIOKafkaProducer:
    """Takes records of megabytes."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, max_batch_size=4_100_000, max_request_size=4_150_000, linger_ms=5
    )


async def send(producer: AIOKafkaProducer, settings: BusSettings, case: Case) -> "asyncio.Future[Any]":
    """Its place on the log, once it has one."""
    # The client takes no record without both.
    value = b"" if case.key is None and case.value is None else case.value
    sent: asyncio.Future[Any] = await producer.send(
        settings.topic_prefix + case.topic, value, case.key, case.partition, headers=case.headers
    )
    return sent


async def everything(bus: KafkaBus, topic: str) -> list[Record]:
    """All that a topic holds now."""
    return [record for partition in await bus.partitions(topic) async for record in bus.read(topic, partition)]


def origin(letter: Record) -> Place:
    """Where the record lies that a dead letter is about."""
    return (text(letter, "dlq_topic"), int(text(letter, "dlq_partition")), int(text(letter, "dlq_offset")))


def text(record: Record, name: str) -> str:
    """A header's last value; empty where there is none."""
    found = [value for key, value in record.headers if key == name]
    return found[-1].decode() if found else ""


def faults(code: str, message: str) -> Iterator[str]:
    """Why a reason is none that people can be given."""
    if not code:
        yield f"no code: {message}"
    if not 10 < len(message) < 500:
        yield f"too short or too long: {message}"
    if _NOT_FOR_PEOPLE.search(message):
        yield f"not for people: {message}"
    if any(part in message for part in _PERSONAL):
        yield f"quotes somebody: {message}"
