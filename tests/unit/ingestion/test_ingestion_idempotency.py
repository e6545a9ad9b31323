"""One prompt id, one acceptance: repeated at once, after a restart, with other content, with somebody waiting."""

from datetime import UTC, datetime

import pytest

from libs.bus import InMemoryBus, Outgoing, OutputMemory, encode, header, headers_for
from libs.telemetry import Metrics, configure_metrics
from schemas.base import Event, Message
from schemas.documents import DocumentAccepted, DocumentSubmitted
from schemas.prompts import PromptAccepted, PromptFailed, PromptRefused, PromptRepeated, PromptSubmitted
from schemas.topics import topic_of
from services.ingestion.domain import Limits
from services.ingestion.memory import Seen, seen_prompts
from services.ingestion.routes import routes
from services.ingestion.settings import IngestionSettings
from tests.support.bus_bench import Bench, eventually

NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Words:
    """Counts words: a tokenizer that needs no model."""

    def count_messages(self, messages: tuple[Message, ...]) -> int:
        return sum(len(message.content.split()) for message in messages)


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return configure_metrics("ingestion", 0, None)[0]


@pytest.fixture
def bench(in_memory: InMemoryBus) -> Bench:
    return Bench(in_memory)


class Door:
    """Ingestion's routes on the in-memory bus; each `let_in` is a process of its own."""

    def __init__(self, bench: Bench, metrics: Metrics) -> None:
        self.bench = bench
        self.metrics = metrics
        self.ends = 0

    async def let_in(self, *events: tuple[Event, int | None]) -> None:
        """Runs ingestion until these, each with its reply address, have come to an end."""
        seen: OutputMemory[tuple[str, str], Seen] = seen_prompts(IngestionSettings())
        table = routes(Limits(100, 8, 100, 1000), Words(), seen, lambda: NOW, self.metrics)  # type: ignore[arg-type]
        for event, reply_to in events:
            headers = (("reply_to", str(reply_to).encode()),) if reply_to is not None else ()
            topic = topic_of(type(event)).name
            await self.bench.put_raw(Outgoing(topic, event.key.encode(), encode(event), headers, 0))
        self.ends += len(events)
        async with self.bench.running(*table, name="ingestion", memories=[seen]):
            results = self.bench.notes.results
            await eventually(lambda: results["handled"] + results["rejected"] == self.ends)

    async def wrote(self, event: type[Event]) -> list[Event]:
        """All events of a type."""
        return [event.model_validate_json(r.value or b"") for r in await self.bench.read(topic_of(event).name)]


@pytest.fixture
def door(bench: Bench, metrics: Metrics) -> Door:
    return Door(bench, metrics)


def prompt(text: str = "hi there", **more: object) -> PromptSubmitted:
    return PromptSubmitted.model_validate({"prompt_id": "p", "messages": [{"role": "user", "content": text}], **more})


@pytest.mark.parametrize("restart", [False, True], ids=["at once", "after a restart"])
async def test_a_repeated_prompt_is_accepted_once(door: Door, restart: bool) -> None:
    if restart:
        await door.let_in((prompt(), None))
        await door.let_in((prompt(), None))
    else:
        await door.let_in((prompt(), None), (prompt(), None))
    [accepted] = await door.wrote(PromptAccepted)
    assert isinstance(accepted, PromptAccepted)
    assert accepted.prompt_tokens == 2
    assert await door.wrote(PromptRepeated) == []
    assert await door.bench.read("prompt-submitted-dlq") == []


@pytest.mark.parametrize("restart", [False, True], ids=["at once", "after a restart"])
async def test_whoever_waits_for_a_repeated_prompt_is_told_of(door: Door, restart: bool) -> None:
    await door.let_in((prompt(), 1), *([] if restart else [(prompt(), 2)]))
    if restart:
        await door.let_in((prompt(), 2))
    [repeated] = await door.wrote(PromptRepeated)
    assert isinstance(repeated, PromptRepeated)
    assert (repeated.reply_to, repeated.conflict) == (2, False)
    assert len(await door.wrote(PromptAccepted)) == 1


@pytest.mark.parametrize("restart", [False, True], ids=["at once", "after a restart"])
async def test_another_question_under_the_same_id_is_a_conflict(door: Door, restart: bool) -> None:
    await door.let_in((prompt(), None))
    if restart:
        await door.let_in((prompt("another"), 3))
        await door.let_in((prompt("another"), None))
    else:
        await door.let_in((prompt("another"), 3), (prompt("another"), None))
    [repeated] = await door.wrote(PromptRepeated)
    assert isinstance(repeated, PromptRepeated)
    assert repeated.conflict
    [letter] = await door.bench.read("prompt-submitted-dlq")
    assert header(letter, "dlq_code") == b"idempotency_conflict"
    assert await door.wrote(PromptRefused) == []


async def test_the_same_id_of_another_tenant_is_another_prompt(door: Door) -> None:
    await door.let_in((prompt(), None), (prompt(tenant="other"), None))
    assert len(await door.wrote(PromptAccepted)) == 2


async def test_a_refused_prompt_stays_refused(door: Door) -> None:
    await door.let_in((prompt("word " * 9), None))
    await door.let_in((prompt("word " * 9), None))
    [refused] = await door.wrote(PromptRefused)
    assert isinstance(refused, PromptRefused)
    assert refused.reason.code == "too_long"
    assert await door.wrote(PromptAccepted) == []


async def test_a_prompt_is_late_from_its_deadline_on(door: Door) -> None:
    await door.let_in((prompt(prompt_id="late", deadline=NOW), None), (prompt(deadline="2026-05-01T00:00:01Z"), None))
    [failed] = await door.wrote(PromptFailed)
    assert isinstance(failed, PromptFailed)
    assert (failed.prompt_id, failed.reason.code) == ("late", "deadline_exceeded")
    assert len(await door.wrote(PromptAccepted)) == 1


async def test_another_stages_refusal_does_not_change_what_was_seen(door: Door) -> None:
    await door.let_in((prompt(), None))
    refused = PromptRefused(
        prompt_id="other", tenant="default", conversation_id="other", submitted_at=NOW,
        reason={"code": "unsafe_prompt", "message": "no", "stage": "safety"},
    )  # fmt: skip
    headers = (*headers_for(refused, "id", "safety"), ("tailrace_input", b"prompt-grounded/0/0"))
    await door.bench.put_raw(Outgoing("prompt-refused", b"other", encode(refused), headers, 0))
    await door.let_in((prompt(prompt_id="other"), None))
    assert len(await door.wrote(PromptAccepted)) == 2


async def test_a_document_is_cleaned_and_versioned_by_its_content(door: Door) -> None:
    def submitted(**more: object) -> DocumentSubmitted:
        return DocumentSubmitted.model_validate(
            {"document_id": "d", "content": "e\u0301\x00\r\n", "title": "\x07t", **more}
        )

    await door.let_in(
        (submitted(), None), (submitted(content="\u00e9\n", title="t"), None), (submitted(content="x"), None)
    )
    first, same, other = await door.wrote(DocumentAccepted)
    assert isinstance(first, DocumentAccepted)
    assert (first.content, first.title) == ("\u00e9\n", "t")
    assert first == same
    assert isinstance(other, DocumentAccepted)
    assert other.content_hash != first.content_hash


async def test_a_deleted_document_passes_without_content(door: Door) -> None:
    await door.let_in((DocumentSubmitted(document_id="d", deleted=True), None))
    [accepted] = await door.wrote(DocumentAccepted)
    assert isinstance(accepted, DocumentAccepted)
    assert accepted.deleted
    assert accepted.content is None
