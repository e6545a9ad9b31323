"""The whole path with the real model: answers from sources, streams while it writes, JSON, and a freed engine."""

import json
import uuid

import pytest

from infra.local import StackStatus
from libs.bus import Outgoing, Record
from libs.bus.kafka import KafkaBus
from tests.e2e.upstream import JSON, upstream

pytestmark = [pytest.mark.broker, pytest.mark.model, pytest.mark.xdist_group("model-stack"), pytest.mark.timeout(400)]

HANDBOOK = """# Harbour handbook

## Opening hours

The harbour office opens at seven in the morning and closes at nine in the evening, every day of the year.

## Mooring fees

A night at the guest pier costs forty crowns. Boats longer than fifteen metres pay sixty crowns.
"""


def prompt(text: str, **fields: object) -> JSON:
    body: JSON = {"prompt_id": f"m-{uuid.uuid4().hex}", "messages": [{"role": "user", "content": text}]}
    return {**body, "grounding": {"mode": "off"}, "parameters": {"max_completion_tokens": 60}, **fields}


async def find(bus: KafkaBus, topic: str, prompt_id: str) -> list[tuple[Record, JSON]]:
    """Records of a topic that belong to a prompt, with their bodies."""
    found = [record for p in await bus.partitions(topic) async for record in bus.read(topic, p)]
    bodies = [(record, json.loads(record.value or b"{}")) for record in found]
    return [(record, body) for record, body in bodies if body.get("prompt_id") == prompt_id]


async def until_indexed(bus: KafkaBus, document_id: str) -> None:
    async for batch in bus.follow("document-indexed", dict.fromkeys(await bus.partitions("document-indexed"), 0)):
        if any(json.loads(record.value or b"{}").get("document_id") == document_id for record in batch):
            return


async def test_a_document_that_was_published_becomes_the_source_of_an_answer(
    model_stack: StackStatus, model_bus: KafkaBus
) -> None:
    document_id = f"handbook-{uuid.uuid4().hex}"
    body = {"document_id": document_id, "collection": "harbour", "title": "Harbour handbook", "content": HANDBOOK}
    producer = await model_bus.producer()
    await (await producer.send(Outgoing("document-submitted", document_id.encode(), json.dumps(body).encode())))
    await producer.stop()
    await until_indexed(model_bus, document_id)
    grounding = {"mode": "required", "collections": ["harbour"]}
    async with upstream(model_bus) as user:
        # The view of a grounding instance may lie a moment behind the topic.
        outcome = await user.ask(prompt("When does the harbour office open?", grounding=grounding), within=120)
        if outcome["status"] == "refused":
            outcome = await user.ask(prompt("When does the harbour office open?", grounding=grounding), within=120)
    assert outcome["status"] == "answered"
    assert "seven" in outcome["text"].lower()
    assert document_id in {source["document_id"] for source in outcome["sources"]}
    assert outcome["sources"][0]["location"] == "Harbour handbook > Opening hours"


async def test_the_first_text_is_out_before_the_model_has_finished(
    model_stack: StackStatus, model_bus: KafkaBus
) -> None:
    asked = prompt("Tell me a long story about a lighthouse keeper.", stream=True)
    asked["parameters"] = {"max_completion_tokens": 150}
    async with upstream(model_bus) as user:
        await user.publish(asked, headers=[("reply_to", b"12")])
        outcome = await user.outcome(asked["prompt_id"], within=120)
    texts = [(r, body) for r, body in await find(model_bus, "reply", asked["prompt_id"]) if body["kind"] == "text"]
    [(generated, completion)] = await find(model_bus, "completion-generated", asked["prompt_id"])
    assert completion["usage"]["completion_tokens"] > 50
    assert outcome["text"].startswith("".join(body["text"] for _, body in texts))
    assert texts
    assert texts[0][0].timestamp < generated.timestamp


async def test_json_that_was_asked_for_comes_as_json(model_stack: StackStatus, model_bus: KafkaBus) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 30}, "people": {"type": "integer"}},
        "required": ["city", "people"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    asked = prompt("Name a city and how many people live there.")
    asked["parameters"] = {"max_completion_tokens": 80, "response_format": wanted}
    async with upstream(model_bus) as user:
        outcome = await user.ask(asked, within=120)
    assert outcome["status"] == "answered"
    assert isinstance(outcome["output"]["city"], str)
    assert isinstance(outcome["output"]["people"], int)
    assert json.loads(outcome["text"]) == outcome["output"]


async def test_a_cancelled_prompt_frees_the_engine_and_says_so(model_stack: StackStatus, model_bus: KafkaBus) -> None:
    asked = prompt("Count from one to ten thousand, one number a line.", stream=True)
    asked["parameters"] = {"max_completion_tokens": 2000}
    async with upstream(model_bus) as user:
        await user.publish(asked, headers=[("reply_to", b"11")])
        producer = await model_bus.producer()
        body = json.dumps({"prompt_id": asked["prompt_id"]}).encode()
        await (await producer.send(Outgoing("prompt-cancelled", asked["prompt_id"].encode(), body)))
        await producer.stop()
        outcome = await user.outcome(asked["prompt_id"], within=120)
    assert (outcome["status"], outcome["reason"]["code"]) == ("failed", "cancelled")
    assert not await find(model_bus, "completion-generated", asked["prompt_id"])
