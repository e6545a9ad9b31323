"""A stream reaches its caller while the model still writes: the engine goes on only when the text has been seen."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from libs.bus.kafka import KafkaBus
from libs.language_models.generation import Delta, GenerationRequest
from libs.sealing import write_key_file
from schemas.prompts import PromptGrounded
from services.inference.adapters.echo import EchoEngine
from services.inference.app import create_app as create_inference
from services.inference.ports import Stream
from services.inference.settings import InferenceSettings
from services.post_processing.app import create_app as create_post_processing
from services.post_processing.settings import PostProcessingSettings
from services.safety.app import create_app as create_safety
from services.safety.settings import SafetySettings
from tests.support.services import first, publish, running
from tests.unit.inference.openai_server import chat_app, endpoint

pytestmark = pytest.mark.broker

ASKED = "The harbour opens at seven. Write to ada@example.org before noon. The ferry leaves at nine."


class HeldUp(EchoEngine):
    """Says its first two sentences and not a word more until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()

    async def generate(self, request: GenerationRequest) -> Stream:
        async for piece in super().generate(request):
            if isinstance(piece, Delta) and piece.text.strip() == "ferry":
                await self.go_on.wait()
            yield piece


@pytest.fixture
async def engine(kafka: KafkaBus, tmp_path: Path) -> AsyncIterator[HeldUp]:
    """Inference, safety and post-processing at work, before an endpoint under the test's control."""
    engine, secret = HeldUp(), tmp_path / "seal.json"
    async with AsyncExitStack() as life:
        url = await life.enter_async_context(endpoint(chat_app(engine)))
        settings = InferenceSettings(engine="openai", endpoints=(url,), model="echo")
        for service in (
            create_post_processing(PostProcessingSettings(seal_key_file=secret)),
            create_safety(SafetySettings(seal_public_key=write_key_file(secret))),
            create_inference(settings),
        ):
            await life.enter_async_context(running(service, kafka))
        life.callback(engine.go_on.set)
        yield engine


def asked(**fields: Any) -> PromptGrounded:
    messages = [{"role": "user", "content": ASKED}]
    body = {"prompt_id": "p-1", "tenant": "acme", "conversation_id": "c-1", "template": "answer@1", "stream": True}
    said = {"messages": messages, "upstream_messages": messages, "submitted_at": datetime.now(UTC)}
    return PromptGrounded.model_validate({**body, **said, **fields})


async def test_screened_text_reaches_the_caller_while_the_model_still_writes(kafka: KafkaBus, engine: HeldUp) -> None:
    await publish(kafka, asked(reply_to=3))
    seen = json.loads((await first(kafka, "reply")).value or b"")
    assert (seen["kind"], seen["index"], seen["text"].strip()) == ("text", 0, "The harbour opens at seven.")
    engine.go_on.set()
    ended = json.loads((await first(kafka, "reply", lambda reply: reply["kind"] == "outcome")).value or b"")
    assert ended["outcome"]["text"] == ASKED
    assert ended["outcome"]["masked"] == {"EMAIL_ADDRESS": 1}


async def test_streamed_text_holds_the_callers_own_data_and_the_log_behind_the_gate_does_not(
    kafka: KafkaBus, engine: HeldUp
) -> None:
    await publish(kafka, asked(reply_to=3))
    window = json.loads((await first(kafka, "reply", lambda reply: reply["index"] == 1)).value or b"")
    assert "ada@example.org" in window["text"]
    for topic in ("prompt-cleared", "completion-chunk", "completion-chunk-cleared"):
        assert b"ada@example.org" not in ((await first(kafka, topic)).value or b"")
    chunk = await first(kafka, "completion-chunk-cleared", lambda body: body["index"] == 1)
    assert b"<EMAIL_ADDRESS_1>" in (chunk.value or b"")


async def test_without_a_place_to_reply_to_nothing_is_streamed(kafka: KafkaBus, engine: HeldUp) -> None:
    engine.go_on.set()
    await publish(kafka, asked())
    await first(kafka, "response-ready")
    await publish(kafka, asked(prompt_id="p-2", reply_to=5))
    assert json.loads((await first(kafka, "reply")).value or b"")["prompt_id"] == "p-2"
