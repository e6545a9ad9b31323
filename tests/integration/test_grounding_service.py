"""The whole service on a log, in memory and real: documents to sources, conversations, rebuilds, restarts."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from opentelemetry.sdk.metrics import MeterProvider

from libs.bus import Bus, Outgoing, decode, encode
from libs.service import Runtime
from libs.settings import BusSettings, ServiceSettings
from libs.telemetry import Metrics, Traces
from schemas.base import Event, Message
from schemas.documents import DocumentAccepted, DocumentIndexed, DocumentRefused
from schemas.prompts import Grounding, PromptAccepted, PromptFailed, PromptGrounded, PromptRefused
from schemas.responses import ResponseReady
from schemas.topics import topic_of
from services.grounding.app import create_app
from services.grounding.settings import GroundingSettings

E = TypeVar("E", bound=Event)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BROKERS = "Brokers restart one after another, never two at once."


class World:
    """A log, and instances of the service on it."""

    def __init__(self, bus: Bus, folder: Path) -> None:
        self.bus = bus
        self.folder = folder

    @asynccontextmanager
    async def service(self, instance: int = 0, **settings: Any) -> AsyncIterator[None]:
        shared = ServiceSettings(
            instance=instance, data_dir=self.folder, ready_file=self.folder / f"ready-{uuid.uuid4().hex}"
        )
        app = create_app(
            GroundingSettings(**{"embedding_model": "hashing", "index": "edge", **settings}), shared, BusSettings()
        )
        runtime = Runtime(self.bus, Metrics(MeterProvider().get_meter("test")), Traces(None), shared)
        stop = asyncio.Event()
        running = asyncio.create_task(app.run_on(runtime, stop))
        try:
            await until(lambda: _exists(shared.ready_file), running)
            yield
        finally:
            stop.set()
            await running

    async def write(self, event: Event, partition: int = 0) -> None:
        producer = await self.bus.producer()
        topic = topic_of(type(event)).name
        await (await producer.send(Outgoing(topic, event.key.encode(), encode(event), (), partition)))
        await producer.stop()

    async def read(self, kind: type[E]) -> list[E]:
        topic = topic_of(kind).name
        found = []
        for partition, end in (await self.bus.end_offsets(topic)).items():
            if end:
                found += [decode(r, kind) async for r in self.bus.read(topic, partition, start=0, end=end)]
        return found

    async def outcome(self, prompt_id: str) -> PromptGrounded | PromptRefused | PromptFailed:
        found: list[Any] = []

        async def there() -> bool:
            for kind in (PromptGrounded, PromptRefused, PromptFailed):
                found.extend(e for e in await self.read(kind) if e.prompt_id == prompt_id)
            return bool(found)

        await until(there)
        outcome: PromptGrounded | PromptRefused | PromptFailed = found[0]
        return outcome

    async def indexed(self, parts: int) -> list[DocumentIndexed]:
        async def there() -> bool:
            return len(await self.read(DocumentIndexed)) >= parts

        await until(there)
        return await self.read(DocumentIndexed)

    async def found(self, question: str) -> list[str]:
        """Asks until the index answers the same twice; returns the texts of the sources."""
        prompt = asking(question, uuid.uuid4().hex)
        await self.write(prompt)
        outcome = await self.outcome(prompt.prompt_id)
        return [s.text for s in outcome.sources] if isinstance(outcome, PromptGrounded) else []

    async def finds(self, question: str, texts: list[str]) -> None:
        """The index follows the log a moment later."""

        async def there() -> bool:
            return await self.found(question) == texts

        await until(there)


async def _exists(file: Path | None) -> bool:
    return file is not None and await asyncio.to_thread(file.exists)


async def until(there: Callable[[], Awaitable[bool]], running: "asyncio.Task[None] | None" = None) -> None:
    async with asyncio.timeout(30):
        while not await there():
            if running is not None and running.done():
                await running
            await asyncio.wait([running] if running else [asyncio.create_task(asyncio.sleep(0.02))], timeout=0.02)


def document(content: str | None = BROKERS, version: str = "v1", **fields: Any) -> DocumentAccepted:
    known = {"document_id": "guide", "tenant": "acme", "collection": "handbook", "media_type": "text/markdown"}
    return DocumentAccepted.model_validate({**known, "content": content, "content_hash": version, **fields})


def asking(text: str, prompt_id: str = "p1", conversation_id: str | None = None, **fields: Any) -> PromptAccepted:
    return PromptAccepted(
        prompt_id=prompt_id,
        tenant="acme",
        conversation_id=conversation_id or prompt_id,
        submitted_at=fields.pop("submitted_at", NOW),
        messages=(Message(role="user", content=text),),
        fingerprint="f",
        **fields,
    )


def answered(prompt: PromptAccepted, text: str) -> ResponseReady:
    return ResponseReady(
        response_id="r",
        prompt_id=prompt.prompt_id,
        tenant=prompt.tenant,
        conversation_id=prompt.conversation_id,
        status="answered",
        text=text,
        created_at=NOW,
    )


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    bus: Bus = request.getfixturevalue("in_memory" if request.param == "memory" else "kafka")
    return World(bus, tmp_path)


async def test_a_document_becomes_a_source_changes_and_goes(world: World) -> None:
    async with world.service():
        await world.write(document())
        await world.finds("How do brokers restart?", [BROKERS])
        await world.write(document("Brokers restart all at once.", "v2"))
        await world.finds("How do brokers restart?", ["Brokers restart all at once."])
        await world.write(document(None, "gone", deleted=True))
        await world.finds("How do brokers restart?", [])


async def test_required_without_a_source_is_refused_and_off_is_grounded_without(world: World) -> None:
    async with world.service():
        await world.write(asking("What?", "p1", grounding=Grounding(mode="required")))
        await world.write(asking("What?", "p2", grounding=Grounding(mode="off")), 1)
        refused, grounded = await world.outcome("p1"), await world.outcome("p2")
    assert isinstance(refused, PromptRefused)
    assert refused.reason.code == "no_source"
    assert isinstance(grounded, PromptGrounded)
    assert grounded.timings_ms["grounding"] > 0


async def test_an_unknown_template_and_a_passed_deadline_end_in_outcomes(world: World) -> None:
    async with world.service():
        await world.write(asking("What?", "p1", template="nope@1"))
        await world.write(asking("What?", "p2", deadline=NOW))
        codes = [outcome.reason.code for outcome in [await world.outcome("p1"), await world.outcome("p2")]]  # type: ignore[union-attr]
    assert codes == ["unknown_template", "deadline_exceeded"]


async def test_a_document_that_cannot_be_read_is_refused_and_the_next_one_is_indexed(world: World) -> None:
    async with world.service():
        broken = document(None, document_id="broken", media_type="application/pdf", content_base64="AAAA")
        await world.write(broken)
        await world.write(document())
        await world.finds("How do brokers restart?", [BROKERS])
    (refused,) = await world.read(DocumentRefused)
    assert refused.document_id == "broken"
    assert "the PDF cannot be read" in refused.reason.message


async def test_an_index_that_was_lost_is_rebuilt_from_the_log(world: World) -> None:
    async with world.service():
        await world.write(document())
        await world.indexed(1)
    async with world.service(instance=7):
        assert await world.found("How do brokers restart?") == [BROKERS]


async def test_every_instance_holds_a_whole_index(world: World) -> None:
    async with world.service(0), world.service(1):
        for n in range(4):
            await world.write(document(f"Brokers restart, note {n}.", document_id=f"d{n}"), n % 2)
        await world.indexed(4)

        async def both_know_all() -> bool:
            found = []
            for partition in (0, 1):
                prompt = asking("Brokers restart note", uuid.uuid4().hex, grounding=Grounding(top_k=8))
                await world.write(prompt, partition)
                outcome = await world.outcome(prompt.prompt_id)
                found.append(len(outcome.sources) if isinstance(outcome, PromptGrounded) else 0)
            return found == [4, 4]

        await until(both_know_all)


async def test_after_a_restart_documents_and_conversation_are_still_known(world: World) -> None:
    first = asking("Who are you?", "p1", "c1", grounding=Grounding(mode="off"))
    async with world.service():
        await world.write(document())
        await world.write(first)
        await world.outcome("p1")
        await world.finds("How do brokers restart?", [BROKERS])
    await world.write(answered(first, "A model."))
    async with world.service():
        await world.write(document())
        later = NOW + timedelta(seconds=1)
        await world.write(asking("Really?", "p2", "c1", submitted_at=later, grounding=Grounding(mode="off")))
        second = await world.outcome("p2")
        assert isinstance(second, PromptGrounded)
        assert [m.content for m in second.messages] == ["Who are you?", "A model.", "Really?"]
        assert await world.found("How do brokers restart?") == [BROKERS]
    assert len(await world.read(DocumentIndexed)) == 1
