"""Safety and post-processing on the real broker: the gate holds, and each prompt has one outcome, crash or not."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from libs.bus.kafka import KafkaBus
from libs.sealing import UnusableKeyError, write_key_file
from schemas.base import Lane
from schemas.completions import CompletionCleared
from schemas.prompts import PromptFailed, PromptGrounded, PromptRepeated
from schemas.topics import CATALOGUE
from services.post_processing.app import create_app as create_post_processing
from services.post_processing.settings import PostProcessingSettings
from services.safety.adapters._policy_files import BadPolicyError
from services.safety.app import create_app as create_safety
from services.safety.settings import SHIPPED_POLICIES, SafetySettings
from tests.support.services import everything, first, publish, running

pytestmark = pytest.mark.broker

ADDRESS = {
    "prompt_id": "p-1", "tenant": "acme", "conversation_id": "c-1", "submitted_at": datetime(2026, 1, 1, tzinfo=UTC)
}  # fmt: skip
PARTITION = 1


@pytest.fixture
def keys(tmp_path: Path) -> tuple[str, Path]:
    """The public key, and the key file."""
    path = tmp_path / "seal.json"
    return write_key_file(path), path


@pytest.fixture
async def bus(kafka: KafkaBus) -> KafkaBus:
    """The bus once the broker serves every fresh topic: on a busy machine that takes a moment after their creation."""
    async with asyncio.timeout(60):
        for topic in CATALOGUE:
            while not await served(kafka, topic.name):  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(0.05)
    return kafka


async def served(kafka: KafkaBus, topic: str) -> bool:
    try:
        return bool(await kafka.end_offsets(topic))
    except (LookupError, KafkaError):
        return False


def grounded(question: str, **fields: Any) -> PromptGrounded:
    messages = [{"role": "user", "content": question}]
    body = {"messages": messages, "upstream_messages": messages, "template": "answer@1"}
    return PromptGrounded.model_validate(ADDRESS | body | fields)


def completion(text: str, **fields: Any) -> CompletionCleared:
    used = {"usage": {"prompt_tokens": 1, "completion_tokens": 1}, "model": {"name": "m"}, "finish_reason": "stop"}
    return CompletionCleared.model_validate(
        ADDRESS | used | {"template": "a@1", "policy": "p@0", "text": text} | fields
    )


@pytest.mark.parametrize("lane", list(Lane))
async def test_what_leaves_the_gate_is_masked_and_keeps_key_and_partition(
    bus: KafkaBus, keys: tuple[str, Path], lane: Lane
) -> None:
    async with running(create_safety(SafetySettings(seal_public_key=keys[0])), bus):
        await publish(bus, grounded("I am ada@example.org"), lane)
        record = await first(bus, "prompt-cleared" if lane is Lane.REAL_TIME else "prompt-cleared-batch")
    assert (record.key, record.partition) == (b"c-1", PARTITION)
    assert b"ada@example.org" not in (record.value or b"")
    assert json.loads(record.value or b"")["messages"][0]["content"] == "I am <EMAIL_ADDRESS_1>"


async def test_while_the_policy_is_gone_a_prompt_waits_and_then_passes(
    bus: KafkaBus, keys: tuple[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    default = folder / "default.yaml"
    default.write_text((SHIPPED_POLICIES / "default.yaml").read_text())
    settings = SafetySettings(seal_public_key=keys[0], policy_dir=folder, policy_check_seconds=0.01)
    async with running(create_safety(settings), bus):
        await publish(bus, grounded("First", prompt_id="p-0"))
        await first(bus, "prompt-cleared")
        default.rename(folder / ".away")
        await publish(bus, grounded("Second"))
        await publish(bus, grounded("Third", prompt_id="p-3", conversation_id="c-3"))
        await first(bus, "prompt-grounded", lambda body: body["prompt_id"] == "p-3")
        assert [body["prompt_id"] for body in await everything(bus, "prompt-cleared")] == ["p-0"]
        (folder / ".away").rename(default)
        await first(bus, "prompt-cleared", lambda body: body["prompt_id"] == "p-1")
        await first(bus, "prompt-cleared", lambda body: body["prompt_id"] == "p-3")


async def test_safety_does_not_start_with_a_bad_policy_or_without_a_key(
    bus: KafkaBus, keys: tuple[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "default.yaml").write_text("name: x\nchunks: {enable: false}\n")
    with pytest.raises(BadPolicyError, match="did you mean enabled"):
        async with running(create_safety(SafetySettings(seal_public_key=keys[0], policy_dir=folder)), bus):
            pass
    with pytest.raises(UnusableKeyError, match="TAILRACE_SAFETY_SEAL_PUBLIC_KEY"):
        async with running(create_safety(SafetySettings(seal_public_key="")), bus):
            pass


async def test_one_outcome_stands_across_a_restart_and_a_second_decision(bus: KafkaBus, keys: tuple[str, Path]) -> None:
    settings = PostProcessingSettings(seal_key_file=keys[1])
    async with running(create_post_processing(settings), bus):
        await publish(bus, completion("It is blue.", reply_to=3))
        reply = await first(bus, "reply")
        await first(bus, "response-ready")
    assert reply.partition == 3
    async with running(create_post_processing(settings), bus):
        reason = {"code": "internal_error", "message": "too late", "stage": "inference"}
        await publish(bus, PromptFailed.model_validate(ADDRESS | {"reason": reason, "reply_to": 3}))
        await publish(bus, PromptRepeated.model_validate(ADDRESS | {"reply_to": 5}))
        await publish(bus, completion("Another.", prompt_id="p-2"))
        copy = await first(bus, "reply", lambda body: body["kind"] == "outcome")
        await first(bus, "response-ready", lambda body: body["prompt_id"] == "p-2")
        copies = await wait_for_replies(bus, 2)
    outcomes = await everything(bus, "response-ready")
    assert [(o["prompt_id"], o["text"]) for o in outcomes] == [("p-1", "It is blue."), ("p-2", "Another.")]
    assert copy.key == b"p-1"
    assert [outcome["response_id"] for outcome in copies] == [outcomes[0]["response_id"]] * 2


async def wait_for_replies(bus: KafkaBus, count: int) -> list[dict[str, Any]]:
    """The outcomes in the first so many replies."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(60):
        async for records in bus.follow("reply", dict(await bus.start_offsets("reply"))):
            found += [json.loads(record.value or b"")["outcome"] for record in records]
            if len(found) >= count:
                return found
    raise AssertionError("a topic has no end")


async def test_what_the_gate_masks_comes_back_in_the_outcome(bus: KafkaBus, keys: tuple[str, Path]) -> None:
    async with running(create_safety(SafetySettings(seal_public_key=keys[0])), bus):
        await publish(bus, grounded("I am ada@example.org"))
        cleared = json.loads((await first(bus, "prompt-cleared")).value or b"")
    seal = {name: cleared[name] for name in ("sealed", "seal_key_id", "masked")}
    async with running(create_post_processing(PostProcessingSettings(seal_key_file=keys[1])), bus):
        await publish(bus, completion("Hello <EMAIL_ADDRESS_1>!", **seal))
        outcome = json.loads((await first(bus, "response-ready")).value or b"")
    assert (outcome["text"], outcome["masked"]) == ("Hello ada@example.org!", {"EMAIL_ADDRESS": 1})
