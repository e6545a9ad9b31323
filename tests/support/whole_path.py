"""The whole prompt path in the test's own process: five services on one broker, the echo engine, hashed vectors.

Knows how to tell whether the services are well and have nothing left to do.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError
from opentelemetry.metrics import NoOpMeter

from libs.bus.kafka import KafkaBus
from libs.sealing import write_key_file
from libs.service import Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from libs.telemetry import Metrics, Traces
from schemas.topics import CATALOGUE, Topic
from services.grounding.app import create_app as create_grounding
from services.grounding.settings import GroundingSettings
from services.inference.app import create_app as create_inference
from services.inference.settings import InferenceSettings
from services.ingestion.app import create_app as create_ingestion
from services.post_processing.app import create_app as create_post_processing
from services.post_processing.settings import PostProcessingSettings
from services.safety.app import create_app as create_safety
from services.safety.settings import SafetySettings
from tests.support.bus_bench import eventually


@dataclass
class WholePath:
    """Five services at work."""

    bus: KafkaBus
    settings: BusSettings
    lives: dict[str, "asyncio.Task[None]"]
    health: dict[str, str]

    async def unwell(self) -> list[str]:
        """Names of the services that have ended or are not ready."""
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            answers = {name: await client.get(url) for name, url in self.health.items() if not self.lives[name].done()}
        return [name for name in self.lives if name not in answers or answers[name].status_code != 200]

    async def nothing_left(self, seconds: float) -> None:
        """Returns when every group has committed every record. Raises TimeoutError, or what ended a service."""
        async with asyncio.timeout(seconds):
            while await self.lag():
                for life in self.lives.values():
                    if life.done():
                        life.result()
                await asyncio.sleep(0.5)

    async def lag(self) -> dict[str, int]:
        """Records that a group has not committed yet, by group and topic."""
        groups = {
            group: [t.name for t in CATALOGUE if group in t.consumers and t.event is not None and _has_group(group, t)]
            for group in self.lives
        }
        return await behind(self.bus, self.settings, groups)


async def behind(bus: KafkaBus, settings: BusSettings, groups: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Records of these topics that a group has not committed yet, by group and partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    found: dict[str, int] = {}
    try:
        for group, topics in groups.items():
            committed = await admin.list_consumer_group_offsets(f"{settings.topic_prefix}tailrace-{group}")
            for topic in topics:
                for partition, end in (await bus.end_offsets(topic)).items():
                    known = committed.get(TopicPartition(settings.topic_prefix + topic, partition))
                    if end > (done := known.offset if known is not None else 0):
                        found[f"{group} {topic}/{partition}"] = end - done
    except GroupCoordinatorNotAvailableError:
        # A broker that has just started needs a moment: nothing can be committed there yet.
        found["no coordinator yet"] = 1
    finally:
        await admin.close()
    return found


def _has_group(group: str, topic: Topic) -> bool:
    """A view reads without a group."""
    return (group, topic.name) != ("grounding", "document-indexed")


@asynccontextmanager
async def whole_path(settings: BusSettings, folder: Path) -> AsyncIterator[WholePath]:
    """All five, ready. Leaving raises what ended one of them."""
    key_file = folder / "seal.json"
    public_key = write_key_file(key_file)
    services = {
        "ingestion": create_ingestion(bus_settings=settings),
        "grounding": create_grounding(
            GroundingSettings(index="memory", embedding_model="hashing"), bus_settings=settings
        ),
        "safety": create_safety(SafetySettings(seal_public_key=public_key), bus_settings=settings),
        "inference": create_inference(InferenceSettings(engine="echo"), bus_settings=settings),
        "post_processing": create_post_processing(
            PostProcessingSettings(seal_key_file=key_file), bus_settings=settings
        ),
    }
    stop = asyncio.Event()
    buses = {name: KafkaBus(settings, client_id=name) for name in services}
    lives = {name: _live(service, buses[name], folder / f"{name}.json", stop) for name, service in services.items()}
    bus = KafkaBus(settings, client_id="test")
    try:
        health = {name: await _health(lives[name], folder / f"{name}.json") for name in services}
        yield WholePath(bus, settings, lives, health)
    finally:
        stop.set()
        await asyncio.wait(lives.values())
        for each in (bus, *buses.values()):
            await each.close()
    for life in lives.values():
        life.result()


def _live(service: Service, bus: KafkaBus, ready: Path, stop: asyncio.Event) -> "asyncio.Task[None]":
    own = ServiceSettings(ready_file=ready, grace_seconds=5)
    return asyncio.create_task(service.run_on(Runtime(bus, Metrics(NoOpMeter("test")), Traces(None), own), stop))


async def _health(life: "asyncio.Task[None]", ready: Path) -> str:
    await eventually(lambda: life.done() or ready.exists())
    if life.done():
        life.result()
    return f"http://127.0.0.1:{json.loads(await asyncio.to_thread(ready.read_text))['health_port']}/ready"
