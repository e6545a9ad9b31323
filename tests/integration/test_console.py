"""The `tailrace` command as operators run it, a process of its own, against the real broker."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from libs.bus import Context, Outgoing, Rejected, Route, Stage, To
from libs.bus.kafka import KafkaBus
from libs.settings import BusSettings
from schemas.base import Event, Reason
from schemas.documents import DocumentIndexed, DocumentRefused, DocumentSubmitted
from schemas.prompts import PromptAccepted, PromptRefused, PromptSubmitted
from schemas.responses import Reply, ResponseReady
from tests.support.stages import at_work

pytestmark = pytest.mark.broker

MakeKafka = Callable[..., Awaitable[BusSettings]]


def _as_in_a_terminal() -> None:
    """A test run that was started in the background ignores Ctrl-C, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass(frozen=True)
class Ended:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Place:
    """Fresh topics, a bus on them, and how to run the command against them."""

    bus: KafkaBus
    environ: dict[str, str]
    folder: Path

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.console", *arguments, env=self.environ,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, preexec_fn=_as_in_a_terminal,
        )  # fmt: skip

    async def tailrace(self, *arguments: str) -> Ended:
        return await ended(await self.start(*arguments))

    async def send(self, topic: str, body: bytes | None, key: bytes = b"k", **headers: bytes) -> None:
        producer = await self.bus.producer()
        await (await producer.send(Outgoing(topic, key, body, tuple(headers.items()))))
        await producer.stop()

    async def written(self, topic: str, count: int) -> None:
        """Returns once the topic holds so many records."""
        async with asyncio.timeout(30):
            while sum((await self.bus.end_offsets(topic)).values()) < count:  # noqa: ASYNC110 - a broker sets no event
                await asyncio.sleep(0.02)

    @asynccontextmanager
    async def running(self, name: str, *routes: Route) -> AsyncIterator[None]:
        """A stage of a real pipeline."""
        stage = Stage(name, self.bus, routes)
        async with at_work(stage):
            yield


async def ended(process: asyncio.subprocess.Process) -> Ended:
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def place(make_kafka: MakeKafka, tmp_path: Path) -> AsyncIterator[Place]:
    settings = await make_kafka()
    bus = KafkaBus(settings, client_id="test")
    own = {
        "TAILRACE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "TAILRACE_TOPIC_PREFIX": settings.topic_prefix,
        "TAILRACE_HOME": str(tmp_path / "home"),
    }
    yield Place(bus, {**os.environ, **own}, tmp_path)
    await bus.close()


def prompt(prompt_id: str, text: str = "hello", **fields: object) -> bytes:
    return json.dumps({"prompt_id": prompt_id, "messages": [{"role": "user", "content": text}], **fields}).encode()


def outcome(event: PromptSubmitted | PromptAccepted, key: str) -> ResponseReady:
    return ResponseReady(
        response_id=f"r-{event.prompt_id}", prompt_id=event.prompt_id, tenant=event.tenant, conversation_id=key,
        status="answered", text=event.messages[-1].content.upper(), created_at=datetime.now(UTC),
    )  # fmt: skip


def answer(event: PromptSubmitted) -> ResponseReady:
    return outcome(event, event.key)


ANSWERING = Route(PromptSubmitted, answer, emits=(ResponseReady,))


def results(file: Path) -> list[dict[str, Any]]:
    return sorted((json.loads(line) for line in file.read_text().splitlines()), key=lambda r: r["line"])


async def test_a_batch_writes_one_result_line_for_each_line(place: Place) -> None:
    file, output = place.folder / "in.jsonl", place.folder / "out.jsonl"
    lines = [prompt(f"p-{n}", f"text {n}") for n in range(30)] + [b"{broken", prompt("p-3", "text 3")]
    file.write_bytes(b"\n".join(lines))
    async with place.running("post_processing", ANSWERING):
        done = await place.tailrace("batch", "run", str(file), "--output", str(output), "--in-flight", "7", "--json")
    assert done.code == 0, done.err
    assert done.json == {"lines": 32, "answered": 31, "refused": 1, "output": str(output)}
    found = results(output)
    assert [r["line"] for r in found] == list(range(1, 33))
    assert [r["text"] for r in found[:30]] == [f"TEXT {n}" for n in range(30)]
    assert "line 31" in found[30]["reason"]["message"]
    assert found[31]["text"] == "TEXT 3"
    again = await place.tailrace("batch", "run", str(file), "--output", str(output))
    assert again.code == 2
    assert "--resume" in again.err


async def test_a_batch_waits_for_services_that_are_away_and_goes_on_when_they_come_back(place: Place) -> None:
    file = place.folder / "in.jsonl"
    file.write_bytes(b"\n".join(prompt(f"p-{n}") for n in range(20)))
    process = await place.start("batch", "run", str(file), "--in-flight", "5", "--json")
    await place.written("prompt-submitted-batch", 5)
    async with place.running("post_processing", ANSWERING):
        await place.written("response-ready-batch", 5)
    async with place.running("post_processing", ANSWERING):
        done = await ended(process)
    assert done.json["answered"] == 20


async def test_a_batch_interrupted_by_ctrl_c_is_taken_up_and_asks_nothing_twice(place: Place) -> None:
    file, output = place.folder / "in.jsonl", place.folder / "in.results.jsonl"
    file.write_bytes(b"\n".join(prompt(f"p-{n}") for n in range(10)))
    process = await place.start("batch", "run", str(file))
    await place.written("prompt-submitted-batch", 10)
    process.send_signal(signal.SIGINT)
    stopped = await ended(process)
    assert stopped.code == 130
    assert "--resume" in stopped.err
    assert output.exists()
    async with place.running("post_processing", ANSWERING):
        await place.written("response-ready-batch", 10)
        done = await place.tailrace("batch", "run", str(file), "--resume")
    assert done.code == 0, done.err
    assert [r["status"] for r in results(output)] == ["answered"] * 10
    assert sum((await place.bus.end_offsets("prompt-submitted-batch")).values()) == 10


def index(event: DocumentSubmitted) -> Event:
    if event.content == "bad":
        reason = Reason(code="invalid_request", message="nothing to index", stage="grounding")
        return DocumentRefused(document_id=event.document_id, tenant=event.tenant, reason=reason)
    return DocumentIndexed(
        document_id=event.document_id, tenant=event.tenant, collection=event.collection, version="1",
        part=0, parts=1, embedding_model="m", deleted=event.deleted,
    )  # fmt: skip


INDEXING = Route(DocumentSubmitted, index, emits=(DocumentIndexed, DocumentRefused))


async def test_documents_of_a_folder_are_indexed_or_refused_with_the_reason(place: Place) -> None:
    docs = place.folder / "docs"
    docs.mkdir()
    for name, content in {"a.md": b"# A", "b.txt": b"bad", "c.html": b"\xff", "d.py": b"no document"}.items():
        (docs / name).write_bytes(content)
    async with place.running("grounding", INDEXING):
        done = await place.tailrace("documents", "add", str(docs), "--root", str(place.folder), "--collection", "c")
        gone = await place.tailrace("documents", "delete", "docs/a.md", "--json")
    assert done.code == 1
    assert done.out.startswith("1 indexed, 2 refused")
    assert "docs/b.txt: invalid_request: nothing to index" in done.err
    assert "docs/c.html: invalid_request: byte 1 is not UTF-8" in done.err
    assert gone.code == 0
    assert gone.json == [{"document_id": "docs/a.md", "status": "deleted", "code": None, "message": None, "chunks": 0}]


def refuse_young(event: PromptSubmitted) -> ResponseReady:
    if event.messages[-1].content == "wrong":
        raise Rejected("the content is wrong", answered=True)
    return answer(event)


async def test_a_dead_letter_is_listed_shown_mended_and_replayed(place: Place) -> None:
    await place.send("prompt-submitted", prompt("p-1", "wrong"), b"p-1", x=b"\xff")
    route = Route(PromptSubmitted, refuse_young, emits=(ResponseReady,))
    async with place.running("post_processing", route):
        await place.written("prompt-submitted-dlq", 1)
        [letter] = (await place.tailrace("dead-letters", "list", "--json")).json
        assert (letter["prompt_id"], letter["reason"]) == ("p-1", "the content is wrong")
        address = letter["address"]

        hidden = await place.tailrace("dead-letters", "show", address)
        assert "wrong" not in hidden.out.split("headers")[1]
        assert "--content" in hidden.out
        shown = (await place.tailrace("dead-letters", "show", address, "--content", "--json")).json
        assert (shown["body_form"], shown["body"]) == ("text", prompt("p-1", "wrong").decode())

        dry = await place.tailrace("dead-letters", "replay", "--topic", "prompt-submitted", "--dry-run", "--json")
        assert dry.json["replayed"] == [{"from": address, "to": "prompt-submitted", "prompt_id": "p-1"}]
        place.environ["EDITOR"] = "sed -i s/wrong/right/"
        done = await place.tailrace("dead-letters", "replay", address, "--edit")
        assert done.code == 0, done.err
        assert "not answered a second time" in done.out
        await place.written("response-ready", 1)
        [marked] = (await place.tailrace("dead-letters", "list", "--json")).json
        assert marked["replayed"].startswith("prompt-submitted/")
        assert (await place.tailrace("dead-letters", "list", "--pending", "--json")).json == []
    missing = await place.tailrace("dead-letters", "show", "prompt-submitted-dlq/0/99")
    assert missing.code == 1
    assert "there is no record" in missing.err
    assert missing.err.count("\n") == 1


def accept(event: PromptSubmitted, *, context: Context) -> PromptAccepted | PromptRefused:
    carried: dict[str, Any] = {
        "prompt_id": event.prompt_id, "tenant": event.tenant, "conversation_id": event.key,
        "submitted_at": context.timestamp, "reply_to": context.envelope.reply_to,
    }  # fmt: skip
    return PromptAccepted(**carried, messages=event.messages, fingerprint="f")


def finish(event: PromptAccepted) -> list[Event | To]:
    ready = outcome(event, event.conversation_id).model_copy(update={"timings_ms": event.timings_ms})
    if event.reply_to is None:
        return [ready]
    return [
        To(event.reply_to, Reply(kind="text", prompt_id=event.prompt_id, tenant=event.tenant, index=0, text="HEL")),
        ready,
    ]


async def test_a_trace_shows_each_event_with_its_place_its_service_and_its_time(place: Place) -> None:
    for n in range(3):
        await place.send("prompt-submitted", prompt(f"p-{n}", "a secret", conversation_id="c-9"), b"c-9", reply_to=b"3")
    async with (
        place.running("ingestion", Route(PromptSubmitted, accept, emits=(PromptAccepted, PromptRefused))),
        place.running("post_processing", Route(PromptAccepted, finish, emits=(ResponseReady, Reply))),
    ):
        await place.written("response-ready", 3)
    found = (await place.tailrace("trace", "p-1", "--conversation", "c-9", "--json")).json
    assert [(hop["event"], hop["service"]) for hop in found["hops"]] == [
        ("prompt-submitted", None), ("prompt-accepted", "ingestion"),
        ("reply", "post_processing"), ("response-ready", "post_processing"),
    ]  # fmt: skip
    assert found["hops"][2]["address"].startswith("reply/3/")
    assert found["status"] == "answered"
    assert found["stages_ms"].keys() == {"ingestion", "post_processing"}
    assert found["total_ms"] >= found["hops"][1]["since_submitted_ms"] >= 0
    people = await place.tailrace("trace", "p-1")
    assert "answered after" in people.out
    assert "secret" not in people.out + json.dumps(found)
    nothing = await place.tailrace("trace", "p-99")
    assert (nothing.code, nothing.err.count("\n")) == (1, 1)


async def test_a_cluster_without_topics_is_told_in_one_line(place: Place) -> None:
    place.environ["TAILRACE_TOPIC_PREFIX"] = "nobody-made-these-"
    done = await place.tailrace("dead-letters", "list")
    assert done.code == 1
    assert "create the topics first" in done.err
    assert done.err.count("\n") == 1
