"""What the commands do, over a log in memory with real stages behind it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from libs.bus import Context, InMemoryBus, Outgoing, Rejected, Route, Stage, To, read_envelope
from schemas.base import Event, Reason
from schemas.documents import DocumentAccepted, DocumentIndexed, DocumentRefused, DocumentSubmitted
from schemas.prompts import PromptAccepted, PromptSubmitted
from schemas.responses import Reply, ResponseReady
from services.console.adapters.results import ResultFile
from services.console.domain.addresses import Address
from services.console.domain.dead_letters import Wanted
from services.console.domain.documents import DocumentResult
from services.console.domain.errors import ConsoleError
from services.console.handlers import dead_letters, writing_back
from services.console.handlers.batch import Batch
from services.console.handlers.documents import Submission
from services.console.handlers.trace import trace
from services.console.handlers.writing_back import Chosen
from services.console.ports import Silent
from tests.support.stages import at_work

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def prompt(prompt_id: str, text: str = "hello", **fields: object) -> bytes:
    return json.dumps({"prompt_id": prompt_id, "messages": [{"role": "user", "content": text}], **fields}).encode()


def outcome(event: PromptSubmitted) -> ResponseReady:
    return ResponseReady(
        response_id=f"r-{event.prompt_id}", prompt_id=event.prompt_id, tenant=event.tenant,
        conversation_id=event.key, status="answered", text=event.messages[-1].content.upper(), created_at=NOW,
    )  # fmt: skip


def answer_once() -> Callable[[PromptSubmitted], ResponseReady | None]:
    """A path in one step that, as the real one, says nothing to an id it has seen, and rejects a conflicting one."""
    seen: dict[str, PromptSubmitted] = {}

    def answer(event: PromptSubmitted) -> ResponseReady | None:
        first = seen.setdefault(event.prompt_id, event)
        if first is event:
            return outcome(event)
        if first.messages != event.messages:
            raise Rejected("used before with other content", code="idempotency_conflict", answered=True)
        return None

    return answer


@asynccontextmanager
async def running(bus: InMemoryBus, name: str, *routes: Route) -> AsyncIterator[None]:
    stage = Stage(name, bus, routes)
    async with at_work(stage):
        yield


def answering(bus: InMemoryBus) -> Any:
    return running(bus, "post_processing", Route(PromptSubmitted, answer_once(), emits=(ResponseReady,)))


async def until(condition: Callable[[], bool], bus: InMemoryBus) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await bus.arrival(0.01)


def read_results(output: Path) -> list[dict[str, Any]]:
    return sorted((json.loads(line) for line in output.read_text().splitlines()), key=lambda r: r["line"])


async def run_batch(
    bus: InMemoryBus, lines: Iterable[bytes], output: Path, *, resume: bool = False, **options: Any
) -> list[dict[str, Any]]:
    numbered = list(enumerate(lines, start=1))
    with ResultFile(output, resume=resume) as results:
        async with asyncio.timeout(20):
            await Batch(bus, lambda: numbered, results, Silent(), **options).run(since_ms=0)
    return read_results(output)


async def test_each_line_has_one_result_whatever_is_wrong_with_it(in_memory: InMemoryBus, tmp_path: Path) -> None:
    lines = [
        prompt("a"), b"{broken", prompt("b", "other"), prompt("a"), prompt("a", "conflict"),
        b'{"messages": [{"role": "user", "content": "no id"}]}', b'{"prompt_id": "c", "messages": []}',
    ]  # fmt: skip
    async with answering(in_memory):
        results = await run_batch(in_memory, lines, tmp_path / "out.jsonl")
    assert [r["line"] for r in results] == [1, 2, 3, 4, 5, 6, 7]
    assert all(r["prompt_id"] for r in results)
    assert [r["status"] for r in results] == [
        "answered",
        "refused",
        "answered",
        "answered",
        "refused",
        "answered",
        "refused",
    ]
    assert [r["text"] for r in results if r["status"] == "answered"] == ["HELLO", "OTHER", "HELLO", "NO ID"]
    assert "line 1" in results[4]["reason"]["message"]
    assert results[4]["reason"]["code"] == "idempotency_conflict"
    assert len(in_memory.records("prompt-submitted-batch")) == 3


async def test_no_more_prompts_are_under_way_than_allowed(in_memory: InMemoryBus, tmp_path: Path) -> None:
    lines = [prompt(f"p-{n}") for n in range(20)]
    with ResultFile(tmp_path / "out.jsonl", resume=False) as results:
        batch = Batch(in_memory, lambda: list(enumerate(lines, 1)), results, Silent(), in_flight=4)
        task = asyncio.create_task(batch.run(since_ms=0))

        def asked() -> int:
            return len(in_memory.records("prompt-submitted-batch"))

        await until(lambda: asked() >= 4, in_memory)
        for _ in range(50):
            await asyncio.sleep(0)
        assert asked() == 4
        async with answering(in_memory), asyncio.timeout(10):
            await task
        assert asked() == 20
        assert results.counts == {"answered": 20}


async def test_a_batch_interrupted_while_it_waits_is_taken_up_without_asking_twice(
    in_memory: InMemoryBus, tmp_path: Path
) -> None:
    output = tmp_path / "out.jsonl"
    lines = [prompt(f"p-{n}") for n in range(10)]
    with ResultFile(output, resume=False) as results:
        task = asyncio.create_task(
            Batch(in_memory, lambda: list(enumerate(lines, 1)), results, Silent()).run(since_ms=0)
        )
        await until(lambda: len(in_memory.records("prompt-submitted-batch")) == 10, in_memory)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with answering(in_memory):
        await until(lambda: len(in_memory.records("response-ready-batch")) == 10, in_memory)
        results_ = await run_batch(in_memory, lines, output, resume=True)
    assert [r["prompt_id"] for r in results_] == [f"p-{n}" for n in range(10)]
    assert len(in_memory.records("prompt-submitted-batch")) == 10


async def test_a_prompt_answered_while_it_waits_for_a_place_is_not_asked_and_not_waited_for(
    in_memory: InMemoryBus, tmp_path: Path
) -> None:
    """As after a crash: what was in flight then is answered only now, and ids are answered once."""
    output = tmp_path / "out.jsonl"
    lines = [prompt(f"p-{n}") for n in range(6)]
    with ResultFile(output, resume=False) as results:
        first = asyncio.create_task(Batch(in_memory, lambda: list(enumerate(lines, 1)), results, Silent()).run(0))
        await until(lambda: len(in_memory.records("prompt-submitted-batch")) == 6, in_memory)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    second = asyncio.create_task(run_batch(in_memory, lines, output, resume=True, in_flight=2))
    await until(lambda: len(in_memory.records("prompt-submitted-batch")) == 8, in_memory)
    async with answering(in_memory):
        found = await second
    assert [r["status"] for r in found] == ["answered"] * 6
    assert len(in_memory.records("prompt-submitted-batch")) == 8


async def test_an_id_used_before_this_run_for_something_else_does_not_wait_for_ever(
    in_memory: InMemoryBus, tmp_path: Path
) -> None:
    answer = answer_once()
    answer(PromptSubmitted.model_validate_json(prompt("a", "before")))
    async with running(in_memory, "post_processing", Route(PromptSubmitted, answer, emits=(ResponseReady,))):
        [result] = await run_batch(in_memory, [prompt("a", "now")], tmp_path / "out.jsonl")
    assert (result["status"], result["reason"]["code"]) == ("refused", "idempotency_conflict")


def index(event: DocumentSubmitted) -> list[Event]:
    if event.content == "bad":
        reason = Reason(code="invalid_request", message="it is bad", stage="grounding")
        return [DocumentRefused(document_id=event.document_id, tenant=event.tenant, reason=reason)]
    body: dict[str, Any] = {
        "document_id": event.document_id, "tenant": event.tenant, "collection": event.collection,
        "version": "1", "parts": 2, "embedding_model": "m", "deleted": event.deleted,
    }  # fmt: skip
    return [DocumentIndexed(**body, part=part) for part in range(2)]


async def test_documents_are_watched_until_they_are_indexed_refused_or_deleted(in_memory: InMemoryBus) -> None:
    def load(name: str, content: str) -> DocumentSubmitted:
        if content == "unreadable":
            raise ConsoleError("cannot be read")
        return DocumentSubmitted(document_id=name, content=content or None, deleted=not content)

    wanted = {"a": "good", "b": "bad", "c": "unreadable", "d": ""}
    documents = [(name, partial(load, name, content)) for name, content in wanted.items()]
    submission = Submission(in_memory, documents, Silent(), lambda: NOW, in_flight=1)
    routes = Route(DocumentSubmitted, index, emits=(DocumentIndexed, DocumentRefused))
    async with running(in_memory, "grounding", routes), asyncio.timeout(10):
        await submission.run()
    assert submission.results == {
        "a": DocumentResult("a", "indexed"),
        "b": DocumentResult("b", "refused", "invalid_request", "it is bad"),
        "c": DocumentResult("c", "refused", "invalid_request", "cannot be read"),
        "d": DocumentResult("d", "deleted"),
    }


async def test_documents_the_log_holds_already_are_unchanged_and_unknown_ones_gone(in_memory: InMemoryBus) -> None:
    held: dict[str, str] = {}

    def accept_document(event: DocumentSubmitted) -> DocumentAccepted:
        return DocumentAccepted(
            document_id=event.document_id, tenant=event.tenant, collection=event.collection, deleted=event.deleted,
            media_type=event.media_type, content=event.content, content_hash=event.content or "",
        )  # fmt: skip

    def index_new(event: DocumentAccepted) -> DocumentIndexed | None:
        if held.get(event.document_id, "") == event.content_hash:
            return None
        held[event.document_id] = event.content_hash
        return DocumentIndexed(
            document_id=event.document_id, tenant=event.tenant, collection=event.collection, deleted=event.deleted,
            version=event.content_hash, part=0, parts=1, embedding_model="m",
        )  # fmt: skip

    async def submit(name: str, content: str | None) -> DocumentResult:
        event = DocumentSubmitted(document_id=name, content=content, deleted=content is None)
        submission = Submission(in_memory, [(name, lambda: event)], Silent(), lambda: NOW, patience=0.01)
        async with asyncio.timeout(10):
            await submission.run()
        return submission.results[name]

    async with (
        running(in_memory, "ingestion", Route(DocumentSubmitted, accept_document, emits=(DocumentAccepted,))),
        running(in_memory, "grounding", Route(DocumentAccepted, index_new, emits=(DocumentIndexed,))),
    ):
        assert (await submit("a", "one")).status == "indexed"
        assert (await submit("a", "one")).status == "unchanged"
        assert (await submit("a", "two")).status == "indexed"
        assert (await submit("a", None)).message is None
        assert await submit("a", None) == DocumentResult("a", "deleted", message="it was not there")
        assert (await submit("b", None)).message == "it was not there"


async def test_a_replayed_dead_letter_is_handled_and_keeps_its_key_and_headers(in_memory: InMemoryBus) -> None:
    healed = False

    def answer(event: PromptSubmitted) -> ResponseReady:
        if not healed:
            raise Rejected("not today", answered=True)
        return outcome(event)

    producer = await in_memory.producer()
    await producer.send(Outgoing("prompt-submitted", b"k", prompt("a"), (("x", b"\xff"),), 1))
    async with running(in_memory, "post_processing", Route(PromptSubmitted, answer, emits=(ResponseReady,))):
        await until(lambda: bool(in_memory.records("prompt-submitted-dlq")), in_memory)
        [letter] = await dead_letters.newest(in_memory, 10, Wanted(reason="TODAY"))
        assert (letter.prompt_id, letter.origin) == ("a", "prompt-submitted/1/0")
        healed = True
        record = await dead_letters.fetch(in_memory, Address("prompt-submitted-dlq", 1, 0))
        base = await writing_back.base_of(in_memory, record, as_new=False)
        [planned] = await writing_back.plan(in_memory, [Chosen(record, base, base.value)], as_new=False)
        assert planned.outgoing is not None
        assert await writing_back.write(in_memory, [planned.outgoing]) == [Address("prompt-submitted", 1, 1)]
        await until(lambda: bool(in_memory.records("response-ready")), in_memory)
    first, again = in_memory.records("prompt-submitted")
    assert (again.key, again.value) == (b"k", prompt("a"))
    assert read_envelope(again).id == read_envelope(first).id
    assert dict(again.headers) | {"x": b"\xff", "replayed_from": b"prompt-submitted-dlq/1/0"} == dict(again.headers)


async def test_the_newest_dead_letters_come_first_and_others_not_at_all(in_memory: InMemoryBus) -> None:
    def reject(event: PromptSubmitted) -> None:
        raise Rejected("no", code="too_long" if event.prompt_id == "p-1" else "invalid_request")

    producer = await in_memory.producer()
    for n in range(5):
        await producer.send(Outgoing("prompt-submitted", b"k", prompt(f"p-{n}")))
    async with running(in_memory, "ingestion", Route(PromptSubmitted, reject)):
        await until(lambda: len(in_memory.records("prompt-submitted-dlq")) == 5, in_memory)
    found = await dead_letters.newest(in_memory, 2, Wanted())
    assert [letter.prompt_id for letter in found] == ["p-4", "p-3"]
    found = await dead_letters.newest(in_memory, 2, Wanted(code="too_long"))
    assert [letter.prompt_id for letter in found] == ["p-1"]


@pytest.mark.parametrize("address", [Address("prompt-submitted-dlq", 0, 5), Address("prompt-submitted-dlq", 9, 0)])
async def test_a_dead_letter_that_is_not_there_is_an_error(in_memory: InMemoryBus, address: Address) -> None:
    with pytest.raises(ConsoleError, match=r"no record|no partition"):
        await dead_letters.fetch(in_memory, address)


def accept(event: PromptSubmitted, *, context: Context) -> PromptAccepted:
    return PromptAccepted(
        prompt_id=event.prompt_id, tenant=event.tenant, conversation_id=event.key, messages=event.messages,
        submitted_at=context.timestamp, fingerprint="f", reply_to=context.envelope.reply_to,
    )  # fmt: skip


def reply(event: PromptAccepted) -> list[Event | To]:
    text = Reply(kind="text", prompt_id=event.prompt_id, tenant=event.tenant, index=0, text="Hel")
    answered = outcome(PromptSubmitted(prompt_id=event.prompt_id, messages=event.messages, tenant=event.tenant))
    return [To(event.reply_to or 0, text), answered.model_copy(update={"timings_ms": event.timings_ms})]


@pytest.mark.parametrize("fields", [{}, {"conversation_id": "c-77"}])
async def test_a_trace_follows_a_prompt_over_its_stages_in_the_order_of_time(
    in_memory: InMemoryBus, fields: dict[str, str]
) -> None:
    producer = await in_memory.producer()
    for other in ("p-10", "p-1", "p-11"):
        key = fields.get("conversation_id", other).encode()
        await producer.send(Outgoing("prompt-submitted", key, prompt(other, **fields), (("reply_to", b"5"),)))
    async with (
        running(in_memory, "ingestion", Route(PromptSubmitted, accept, emits=(PromptAccepted,))),
        running(in_memory, "post_processing", Route(PromptAccepted, reply, emits=(ResponseReady, Reply))),
    ):
        await until(lambda: len(in_memory.records("response-ready")) == 3, in_memory)
    found = await trace(in_memory, "p-1", "default", None, 0)
    assert found is not None
    assert [(h.event, h.service) for h in found.hops] == [
        ("prompt-submitted", None), ("prompt-accepted", "ingestion"),
        ("reply", "post_processing"), ("response-ready", "post_processing"),
    ]  # fmt: skip
    assert [h.cause for h in found.hops[1:]] == [found.hops[0].address, found.hops[1].address, found.hops[1].address]
    assert found.status == "answered"
    assert found.stages_ms.keys() == {"ingestion", "post_processing"}
    assert found.first_text_ms is not None
    assert found.pending == ()
    last = found.hops[3]
    assert last.handled_ms is not None
    assert last.took_ms is not None
    assert last.waited_ms == pytest.approx(max(0.0, last.took_ms - last.handled_ms), abs=0.01)


async def test_a_trace_names_what_waits_for_whom_and_never_shows_content(in_memory: InMemoryBus) -> None:
    producer = await in_memory.producer()
    await producer.send(Outgoing("prompt-submitted", b"p-1", prompt("p-1", "my secret")))
    async with running(in_memory, "ingestion", Route(PromptSubmitted, accept, emits=(PromptAccepted,))):
        await until(lambda: bool(in_memory.records("prompt-accepted")), in_memory)
    found = await trace(in_memory, "p-1", "default", None, 0)
    assert found is not None
    assert found.status is None
    assert found.pending == (f"{found.hops[1].address} waits for grounding",)
    assert "secret" not in found.model_dump_json()


async def test_a_trace_shows_a_dead_letter_and_its_reason(in_memory: InMemoryBus) -> None:
    def reject(event: PromptSubmitted) -> None:
        raise Rejected("not like this", answered=True)

    producer = await in_memory.producer()
    await producer.send(Outgoing("prompt-submitted", b"p-1", prompt("p-1")))
    async with running(in_memory, "ingestion", Route(PromptSubmitted, reject)):
        await until(lambda: bool(in_memory.records("prompt-submitted-dlq")), in_memory)
    found = await trace(in_memory, "p-1", "default", None, 0)
    assert found is not None
    letter = found.hops[1]
    assert (letter.event, letter.service, letter.detail) == (
        "dead letter", "ingestion", "invalid_request: not like this",
    )  # fmt: skip
    assert found.pending == ()


async def test_a_prompt_of_another_tenant_or_of_no_one_has_no_trace(in_memory: InMemoryBus) -> None:
    producer = await in_memory.producer()
    await producer.send(Outgoing("prompt-submitted", b"p-1", prompt("p-1", tenant="other")))
    assert await trace(in_memory, "p-1", "default", None, 0) is None
    assert await trace(in_memory, "p-1", "other", None, 0) is not None
