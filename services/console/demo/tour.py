"""The stations of the tour, one function each, over a running stack. Each returns its page of the report."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from services.console.adapters.files import batch_lines, find_documents, loader
from services.console.adapters.gateway import Gateway, RefusedError
from services.console.adapters.results import ResultFile
from services.console.demo import script
from services.console.demo.report import Asked, Flood, Indexed, Malformed, Private
from services.console.demo.upstream import JSON, Upstream
from services.console.domain.dead_letters import Wanted
from services.console.domain.errors import ConsoleError
from services.console.handlers import dead_letters
from services.console.handlers.batch import Batch
from services.console.handlers.documents import Submission
from services.console.handlers.following import recent
from services.console.ports import Silent

PATIENCE = 120.0
"""Seconds for one answer."""
PAST_THE_GATE = (
    "prompt-cleared", "completion-generated", "completion-chunk", "completion-chunk-cleared", "completion-cleared",
)  # fmt: skip
OnText = Callable[[str], None]


async def index_documentation(bus: KafkaBus, root: Path) -> Indexed:
    """The project's own documentation becomes the knowledge base."""
    began = time.perf_counter()
    found = find_documents(script.documentation(root), root)
    documents = [(it.document_id, loader(it, "default", "documentation")) for it in found]
    submission = Submission(bus, documents, Silent(), utc_now)
    async with asyncio.timeout(600):
        await submission.run()
    results = submission.results.values()
    return Indexed(
        documents=sum(r.status != "refused" for r in results),
        refused={r.document_id: r.message or "" for r in results if r.status == "refused"},
        passages=sum(r.chunks for r in results),
        seconds=round(time.perf_counter() - began, 1),
    )


async def over_http(gateway: Gateway, question: str, on_text: OnText = lambda _: None) -> Asked:
    """A question through the OpenAI-compatible gateway, streamed, with the documentation as sources."""
    options = {"prompt_id": f"demo-{uuid.uuid4().hex[:12]}", "grounding": {"mode": "auto", "top_k": script.TOP_K}}
    ask = partial(gateway.ask, question, tailrace=options, parameters=script.PARAMETERS, on_text=on_text)
    began = time.perf_counter()
    try:
        answer = await asyncio.to_thread(ask)
    except RefusedError as error:
        return Asked(
            prompt_id=str(options["prompt_id"]), via="HTTP", question=question, status="refused", reason=str(error),
            answer_ms=_since(began),
        )  # fmt: skip
    result = answer.tailrace
    return Asked(
        prompt_id=result["prompt_id"],
        via="HTTP, streamed",
        question=question,
        status=result["status"],
        text=answer.text,
        sources=tuple(result["sources"]),
        masked=result["masked"],
        timings_ms=result["timings_ms"],
        first_text_ms=answer.first_text_ms,
        answer_ms=answer.answer_ms,
    )


async def over_kafka(upstream: Upstream, question: str, grounding: str = "auto") -> Asked:
    """The same for an upstream that knows nothing but the published contract."""
    prompt = {
        "prompt_id": f"demo-{uuid.uuid4().hex[:12]}",
        "messages": [{"role": "user", "content": question}],
        "parameters": script.PARAMETERS,
        "grounding": {"mode": grounding, "top_k": script.TOP_K},
    }
    began = time.perf_counter()
    outcome = await upstream.ask(prompt, within=PATIENCE)
    return _asked(question, outcome, began)


def _asked(question: str, outcome: JSON, began: float) -> Asked:
    reason = outcome["reason"]
    return Asked(
        prompt_id=outcome["prompt_id"],
        via="Kafka",
        question=question,
        status=outcome["status"],
        text=outcome["text"],
        reason=f"{reason['code']}: {reason['message']} ({reason['stage']})" if reason else None,
        sources=tuple(outcome["sources"]),
        masked=outcome["masked"],
        timings_ms=outcome["timings_ms"],
        answer_ms=_since(began),
    )


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)


async def private(bus: KafkaBus, upstream: Upstream) -> Private:
    """Personal data: what lies past the gate, what the model saw, and what the user got back."""
    asked = await over_kafka(upstream, script.PRIVATE, grounding="off")
    clear, seen = 0, ""
    for topic in PAST_THE_GATE:
        async for record in recent(bus, topic, None):
            body = record.value or b""
            clear += any(value.encode() in body for value in script.PRIVATE_VALUES)
            if topic == "prompt-cleared" and asked.prompt_id.encode() in body:
                seen = json.loads(body)["messages"][-1]["content"]
    restored = any(value in (asked.text or "") for value in script.PRIVATE_VALUES)
    return Private(asked=asked, seen_by_the_model=seen, values_past_the_gate=clear, restored=restored)


async def malformed(bus: KafkaBus, upstream: Upstream) -> Malformed:
    """Bytes that are no prompt: the upstream gets its outcome, the operator a dead letter."""
    began = time.perf_counter()
    outcome = await upstream.send(script.MALFORMED_ID, script.MALFORMED.encode(), within=PATIENCE)
    found = await dead_letters.newest(bus, 1, Wanted(topic="prompt-submitted-dlq"))
    if not found:
        raise ConsoleError("the malformed message has an outcome, but no dead letter")
    return Malformed(sent=script.MALFORMED, asked=_asked("(cut short)", outcome, began), letter=found[0])


async def flood(bus: KafkaBus, gateway: Gateway, folder: Path) -> Flood:
    """A batch on its lane while people go on asking on theirs."""
    before = await over_http(gateway, script.GROUNDED[0] + " Be brief.")
    file = script.batch_file(folder)
    with ResultFile(folder / "results.jsonl", resume=False) as results:
        batch = Batch(bus, partial(batch_lines, file), results, Silent())
        began = time.perf_counter()
        running = asyncio.create_task(batch.run(since_ms=int(time.time() * 1000)))
        try:
            beside = [await over_http(gateway, f"{question} Be brief.") for question in script.GROUNDED[1:]]
            async with asyncio.timeout(300):
                await running
        finally:
            running.cancel()
        seconds = round(time.perf_counter() - began, 1)
        counts: dict[str, Any] = dict(results.counts)
    return Flood(lines=batch.total, counts=counts, seconds=seconds, before=before, beside=tuple(beside))


async def with_all_stages(bus: KafkaBus, asked: Asked) -> Asked:
    """The same with the times the outcome itself carries: the gateway's copy was made before its last stage ended."""
    async for record in recent(bus, "response-ready", None):
        outcome = json.loads(record.value or b"{}")
        if outcome.get("prompt_id") == asked.prompt_id:
            return asked.model_copy(update={"timings_ms": outcome["timings_ms"]})
    return asked
