"""Factories for post-processing's tests: decisions, the record a decision came in, a sealed mapping."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from libs.bus import Context, Envelope, Output, StoredRecord
from libs.sealing import Sealer, write_key_file
from schemas.base import Lane, Parameters, ResponseFormat
from schemas.completions import CompletionChunkCleared, CompletionCleared
from schemas.prompts import PromptFailed, PromptRefused
from services.post_processing.adapters.key_ring import KeyRing
from services.post_processing.memory import FinishedPrompts

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADDRESS = {"prompt_id": "p-1", "tenant": "acme", "conversation_id": "c-1", "submitted_at": NOON}

Make = Callable[..., Any]


def clock() -> datetime:
    return NOON


@pytest.fixture
def finished() -> FinishedPrompts:
    return FinishedPrompts(window=timedelta(hours=1), limit=100, max_bytes=100_000)


@pytest.fixture
def reports() -> list[str]:
    return []


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    write_key_file(tmp_path / "seal.json")
    return tmp_path / "seal.json"


@pytest.fixture
def seals(key_file: Path, reports: list[str]) -> KeyRing:
    return KeyRing(key_file, report=reports.append)


@pytest.fixture
def seal(key_file: Path) -> Callable[..., dict[str, str]]:
    """Fields of an event that carries this mapping: `seal({"<IBAN_1>": "DE89"})`."""

    def make(values: dict[str, str]) -> dict[str, str]:
        box, key_id = Sealer(write_key_file(key_file)).seal(values)
        return {"sealed": box, "seal_key_id": key_id}

    return make


@pytest.fixture
def at() -> Callable[..., Context]:
    """The context of a record: `at("completion-cleared", offset=3)`."""

    def make(topic: str = "completion-cleared", offset: int = 0, partition: int = 0) -> Context:
        async def emit(output: Output) -> None:
            raise AssertionError(f"nothing is streamed here: {output}")

        record = StoredRecord(topic, partition, offset, 0, b"c-1", b"{}")
        return Context(record, Envelope("id"), Lane.REAL_TIME, 1, emit)

    return make


@pytest.fixture
def completion() -> Callable[..., CompletionCleared]:
    def make(text: str = "Hello.", response_format: dict[str, Any] | None = None, **fields: Any) -> CompletionCleared:
        wanted = None if response_format is None else ResponseFormat.model_validate(response_format)
        used = {"usage": {"prompt_tokens": 1, "completion_tokens": 2}, "model": {"name": "m"}, "finish_reason": "stop"}
        more = {"template": "answer@1", "policy": "p@0", "parameters": Parameters(response_format=wanted), "text": text}
        return CompletionCleared.model_validate(ADDRESS | used | more | fields)

    return make


@pytest.fixture
def chunk() -> Callable[..., CompletionChunkCleared]:
    def make(text: str, index: int = 0, **fields: Any) -> CompletionChunkCleared:
        return CompletionChunkCleared.model_validate(
            ADDRESS | {"reply_to": 3, "policy": "p@0", "text": text, "index": index} | fields
        )

    return make


@pytest.fixture
def refusal() -> Callable[..., PromptRefused]:
    def make(**fields: Any) -> PromptRefused:
        reason = {"code": "unsafe_prompt", "message": "no", "stage": "safety"}
        return PromptRefused.model_validate(ADDRESS | {"reason": reason} | fields)

    return make


@pytest.fixture
def failure() -> Callable[..., PromptFailed]:
    def make(**fields: Any) -> PromptFailed:
        reason = {"code": "cancelled", "message": "gone", "stage": "inference"}
        return PromptFailed.model_validate(ADDRESS | {"reason": reason} | fields)

    return make
