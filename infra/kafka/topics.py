"""Makes the broker's topics match the catalogue, and says where they do not: creates what is missing, changes nothing.

An existing topic may hold data or have been set on purpose, so a difference is reported for a person to decide.
Works with any cluster; the catalogue comes in as a parameter.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import NoError, TopicAlreadyExistsError, for_code

from libs.bus.kafka import connection
from libs.settings import BusSettings
from schemas.topics import Topic

CREATE_TIMEOUT_S = 30.0


class TopicsError(RuntimeError):
    """The broker refused to create or describe topics; the message names them and its reasons."""


@dataclass(frozen=True)
class Difference:
    """One setting of an existing topic that is not as the catalogue wants it."""

    topic: str
    setting: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.found}, the catalogue wants {self.wanted}"


@dataclass(frozen=True)
class Report:
    """What `ensure_topics` or `compare_topics` found: names, and settings that differ."""

    created: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    different: tuple[Difference, ...] = ()

    @property
    def in_order(self) -> bool:
        """Whether the broker now is as the catalogue wants it."""
        return not self.missing and not self.different


async def ensure_topics(admin_config: BusSettings, topics: Sequence[Topic]) -> Report:
    """Create the missing topics and report settings of the others that differ. Raises TopicsError."""
    admin = AIOKafkaAdminClient(**connection(admin_config))
    try:
        await admin.start()
        found = await _partitions_by_topic(admin)
        created = await _create(admin, admin_config, [topic for topic in topics if topic.name not in found])
        before = [topic for topic in topics if topic.name not in created]
        # Asked again: another process may have made some of them meanwhile, with settings of its own.
        found = await _partitions_by_topic(admin)
        return Report(created=created, different=await _differences(admin, admin_config, before, found))
    finally:
        await admin.close()


async def compare_topics(admin_config: BusSettings, topics: Sequence[Topic]) -> Report:
    """The same look without creating anything: which topics are missing and which settings differ."""
    admin = AIOKafkaAdminClient(**connection(admin_config))
    try:
        await admin.start()
        found = await _partitions_by_topic(admin)
        present = [topic for topic in topics if topic.name in found]
        missing = tuple(topic.name for topic in topics if topic.name not in found)
        return Report(missing=missing, different=await _differences(admin, admin_config, present, found))
    finally:
        await admin.close()


async def _partitions_by_topic(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


async def _create(admin: AIOKafkaAdminClient, settings: BusSettings, topics: Sequence[Topic]) -> tuple[str, ...]:
    """Names of the topics this call made. One that another process made meanwhile is no error."""
    if not topics:
        return ()
    response = await admin.create_topics([_new_topic(topic, settings) for topic in topics])
    outcome = {name: (for_code(code), message) for name, code, message in response.topic_errors}
    refused = {n: (e, m) for n, (e, m) in outcome.items() if e not in (NoError, TopicAlreadyExistsError)}
    if refused:
        reasons = "; ".join(f"{name}: {message or error.__name__}" for name, (error, message) in refused.items())
        raise TopicsError(f"The broker at {settings.bootstrap_servers} did not create topics: {reasons}")
    await _visible(admin, outcome)
    return tuple(name for name, (error, _) in outcome.items() if error is NoError)


async def _visible(admin: AIOKafkaAdminClient, names: Iterable[str]) -> None:
    """Return once every broker's metadata can be expected to list the topics with a leader for each partition."""
    async with asyncio.timeout(CREATE_TIMEOUT_S):
        while True:
            described = {topic["topic"]: topic for topic in await admin.describe_topics()}
            if all(_has_leaders(described.get(name)) for name in names):
                return
            await asyncio.sleep(0.02)


def _has_leaders(topic: dict[str, Any] | None) -> bool:
    return bool(topic and topic["partitions"]) and all(part["leader"] >= 0 for part in topic["partitions"])  # type: ignore[index]


def _new_topic(topic: Topic, settings: BusSettings) -> NewTopic:
    return NewTopic(
        topic.name,
        num_partitions=_partitions(topic, settings),
        replication_factor=settings.replication_factor,
        topic_configs=topic.config,
    )


def _partitions(topic: Topic, settings: BusSettings) -> int:
    return topic.partitions or settings.topic_partitions


async def _differences(
    admin: AIOKafkaAdminClient, settings: BusSettings, topics: Sequence[Topic], found: dict[str, int]
) -> tuple[Difference, ...]:
    configs = await _configs(admin, topics)
    return tuple(
        Difference(topic.name, setting, wanted, actual)
        for topic in topics
        for setting, wanted, actual in (
            ("partitions", str(_partitions(topic, settings)), str(found.get(topic.name, "unknown"))),
            *((s, value, configs[topic.name].get(s, "unknown")) for s, value in topic.config.items()),
        )
        if wanted != actual
    )


async def _configs(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> dict[str, dict[str, str]]:
    """Settings of each topic as the broker applies them, those it takes from its own defaults included."""
    if not topics:
        return {}
    wanted = [ConfigResource(ConfigResourceType.TOPIC, t.name, configs=t.config) for t in topics]
    responses = await admin.describe_configs(wanted)
    resources = [resource for response in responses for resource in response.resources]
    return {name: {entry[0]: entry[1] for entry in entries} for _code, _message, _type, name, entries in resources}
