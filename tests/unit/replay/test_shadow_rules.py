"""A shadow is answered as its original was, beside history, and leaves no trace in it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeter

from libs.bus import SHADOW_HEADER, Context, Envelope, InMemoryBus, Output, Rejected, StoredRecord, read_envelope
from libs.bus.failures import Failure, outcomes
from libs.telemetry import Metrics
from schemas.base import Lane, Message, Parameters, Shadow
from schemas.prompts import PromptAccepted, PromptCleared, PromptFailed, PromptRefused, PromptSubmitted
from schemas.responses import ResponseReady, ResponseShadow
from services.grounding.domain.history import Bounds
from services.grounding.memory import ConversationMemory
from services.inference.adapters.echo import EchoEngine
from services.inference.adapters.in_service import InService
from services.inference.domain.cache import ExactCache
from services.inference.domain.underway import Underway
from services.inference.handlers import Defaults, generate
from services.inference.memory import finished_prompts
from services.inference.settings import InferenceSettings
from services.post_processing.handlers import finish
from services.post_processing.memory import FinishedPrompts

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=2)
OF = Shadow(run="r1", prompt_id="p-1", conversation_id="c-1", submitted_at=NOON)
ORIGINAL: dict[str, Any] = {"prompt_id": "p-1", "tenant": "acme", "conversation_id": "c-1", "submitted_at": NOON}
SHADOW: dict[str, Any] = {
    "prompt_id": "p-1~r1", "tenant": "acme", "conversation_id": "p-1~r1", "submitted_at": LATER, "shadow": OF
}  # fmt: skip
REASON = {"code": "internal_error", "message": "no", "stage": "safety"}


def context(topic: str = "prompt-cleared-batch", offset: int = 0) -> Context:
    async def emit(output: Output) -> None:
        raise AssertionError(f"nothing is streamed here: {output}")

    return Context(StoredRecord(topic, 0, offset, 0, b"k", b"{}"), Envelope("id"), Lane.BATCH, 1, emit)


class NoSeals:
    """Nothing was masked."""

    def values(self, sealed: str | None, key_id: str | None) -> dict[str, str]:
        return {}


def submitted(*headers: tuple[str, bytes]) -> StoredRecord:
    body = b'{"prompt_id": "p-1~r1", "messages": [{"role": "user", "content": "x"}], "typo": 1}'
    return StoredRecord("prompt-submitted-batch", 0, 0, 0, b"k", body, headers)


def test_a_header_says_that_a_prompt_is_a_shadow_and_a_wrong_one_is_refused() -> None:
    found = read_envelope(submitted((SHADOW_HEADER, OF.model_dump_json().encode())))
    assert found.shadow == OF
    with pytest.raises(Rejected, match='header "shadow" must be a shadow'):
        read_envelope(submitted((SHADOW_HEADER, b'{"run": "no blanks"}')))


def test_what_is_said_of_a_shadow_that_cannot_be_read_is_said_to_nobody_else() -> None:
    failure = Failure("invalid_request", "typo", "ingestion", rejected=True)
    [told] = outcomes(submitted((SHADOW_HEADER, OF.model_dump_json().encode())), None, PromptSubmitted, failure)
    assert isinstance(told, PromptRefused)
    assert told.shadow == OF
    broken = StoredRecord(
        "prompt-accepted", 0, 0, 0, b"k", b'{"prompt_id":"x","shadow":' + OF.model_dump_json().encode() + b"}"
    )
    [told] = outcomes(broken, None, PromptAccepted, failure)
    assert isinstance(told, PromptFailed)
    assert told.shadow == OF


def test_an_upstream_that_writes_the_field_into_its_body_still_gets_its_answer() -> None:
    body = b'{"prompt_id": "p-1", "shadow": ' + OF.model_dump_json().encode() + b"}"
    record = StoredRecord("prompt-submitted", 0, 0, 0, b"k", body)
    [told] = outcomes(record, None, PromptSubmitted, Failure("invalid_request", "unknown field", "ingestion", True))
    assert isinstance(told, PromptRefused)
    assert told.shadow is None


def accepted(text: str, **fields: Any) -> PromptAccepted:
    return PromptAccepted(**{**ORIGINAL, **fields}, messages=(Message(role="user", content=text),), fingerprint="f")


def answer(prompt_id: str, text: str) -> ResponseReady:
    return ResponseReady(
        response_id="r", prompt_id=prompt_id, tenant="acme", conversation_id="c-1", status="answered", text=text,
        created_at=NOON,
    )  # fmt: skip


def test_a_shadow_sees_of_its_conversation_what_its_original_saw_and_adds_nothing() -> None:
    conversations = ConversationMemory(Bounds())
    for minutes, prompt_id in ((-5, "p-0"), (0, "p-1"), (5, "p-2")):
        asked = accepted(f"question {prompt_id}", prompt_id=prompt_id, submitted_at=NOON + timedelta(minutes=minutes))
        conversations.note_prompt(0, asked)
        conversations.note_response(0, answer(prompt_id, f"answer {prompt_id}"))
    again = accepted("question p-1", **SHADOW)
    conversations.note_prompt(0, again)
    assert [turn.prompt_id for turn in conversations.before(0, again)] == ["p-0"]
    assert [t.prompt_id for t in conversations.before(0, accepted("x", prompt_id="p-3", submitted_at=LATER))] == [
        "p-0", "p-1", "p-2"
    ]  # fmt: skip


class Seeds(EchoEngine):
    """Keeps the seeds it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds: list[int | None] = []

    def generate(self, request: Any) -> Any:
        self.seeds.append(request.seed)
        return super().generate(request)


async def test_a_shadow_is_generated_with_the_seed_of_its_original_and_never_comes_from_the_cache() -> None:
    engine, cache = Seeds(), ExactCache(entries=9, lifetime=timedelta(hours=1), clock=lambda: NOON)
    metrics = Metrics(NoOpMeter("test"))
    parts: dict[str, Any] = {
        "engine": engine, "cache": cache, "serving": InService(InMemoryBus({}), engine, metrics),
        "finished": finished_prompts(InferenceSettings(model="echo")),
        "underway": Underway(), "defaults": Defaults(16, 0.0, 1.0, 1), "clock": lambda: NOON,
        "metrics": metrics,
    }  # fmt: skip
    for fields in (SHADOW, ORIGINAL, {**SHADOW, "prompt_id": "p-1~r2"}, {**ORIGINAL, "prompt_id": "p-9"}):
        prompt = PromptCleared(
            **fields, messages=(Message(role="user", content="same"),), parameters=Parameters(),
            template="chat@1", policy="p@0",
        )  # fmt: skip
        assert await generate(prompt, context=context(), **parts) is not None
    assert len(engine.seeds) == 3, "the shadows are generated; of the originals, the first is, the second is cached"
    assert len(set(engine.seeds)) == 1


def finished() -> FinishedPrompts:
    return FinishedPrompts(window=timedelta(hours=1), limit=9, max_bytes=9999)


def failed(fields: dict[str, Any]) -> PromptFailed:
    return PromptFailed.model_validate(fields | {"reason": REASON})


def ended(outputs: Sequence[Output]) -> list[type]:
    return [type(output) for output in outputs]


def test_the_outcome_of_a_shadow_is_no_response_ready() -> None:
    known = finished()
    parts: dict[str, Any] = {"finished": known, "seals": NoSeals(), "clock": lambda: NOON}
    [told] = finish(failed(SHADOW), context=context("prompt-failed-batch"), **parts)
    assert isinstance(told, ResponseShadow)
    assert (told.status, told.prompt_id, told.shadow) == ("failed", "p-1~r1", OF)
    assert ended(finish(failed(ORIGINAL), context=context("prompt-failed", 5), **parts)) == [ResponseReady]


def test_a_shadow_has_one_outcome_also_after_a_restart() -> None:
    first, second = finished(), finished()
    parts: dict[str, Any] = {"seals": NoSeals(), "clock": lambda: NOON}
    [told] = finish(failed(SHADOW), context=context("prompt-failed-batch"), finished=first, **parts)
    assert isinstance(told, ResponseShadow)
    cause = ("tailrace_input", b"prompt-failed-batch/0/0")
    second.recall(StoredRecord("response-shadow", 0, 3, 0, b"k", told.model_dump_json().encode(), (cause,)))
    assert "response-shadow" in second.topics
    assert finish(failed(SHADOW), context=context("prompt-failed-batch", 8), finished=second, **parts) == []
