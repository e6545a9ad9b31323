"""A gateway under test, and behind it a small pipeline: one stage that answers prompts as their text asks it to.

The stage is a real one on whichever bus the test has; it stands for ingestion up to post-processing.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from libs.bus import Bus, Context, Outgoing, Route, Stage, To, encode
from libs.service import Runtime
from libs.settings import ServiceSettings
from libs.telemetry import Metrics, Traces
from schemas.base import ModelUsed, Reason, ReasonCode, Usage
from schemas.prompts import PromptSubmitted
from schemas.responses import Reply, ResponseReady
from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings

KEY, OTHER_KEY = "tr-test-key", "tr-other-key"
MODEL = "smollm2-135m-instruct"
TOPICS = (
    "prompt-submitted",
    "prompt-submitted-batch",
    "prompt-submitted-dlq",
    "prompt-submitted-batch-dlq",
    "prompt-cancelled",
    "document-submitted",
    "feedback-submitted",
    "subject-erased",
    "reply",
)
"""What a gateway and the small pipeline read and write."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def outcome_of(prompt_id: str = "p", tenant: str = "default", **fields: object) -> ResponseReady:
    """An answered outcome; tests say what they care about."""
    given: dict[str, Any] = {
        "response_id": f"response-{prompt_id}",
        "conversation_id": prompt_id,
        "status": "answered",
        "finish_reason": "stop",
        "usage": Usage(prompt_tokens=3, completion_tokens=2),
        "model": ModelUsed(name=MODEL),
        "created_at": NOW,
        **fields,
    }
    return ResponseReady(prompt_id=prompt_id, tenant=tenant, **given)


def refusal_of(prompt: PromptSubmitted, code: str, status: str) -> ResponseReady:
    reason = Reason(code=cast("ReasonCode", code), message=f"because {code}", stage="test")
    return outcome_of(
        prompt.prompt_id, prompt.tenant, status=status, reason=reason, finish_reason=None, usage=None, model=None
    )


@dataclass
class Pipeline:
    """What the stage has seen and said. The first word of a prompt says what becomes of it."""

    prompts: list[PromptSubmitted] = field(default_factory=list)
    outcomes: dict[tuple[str, str], tuple[str, ResponseReady]] = field(default_factory=dict)
    silent: bool = True
    """Whether `silence` is never answered."""

    async def answer(self, prompt: PromptSubmitted, *, context: Context) -> list[To] | None:
        self.prompts.append(prompt)
        partition = context.envelope.reply_to
        assert partition is not None
        word, _, rest = prompt.messages[-1].content.partition(" ")
        if word == "silence" and self.silent:
            return None
        if word == "part":
            # Text, and then nothing more.
            return [_text(prompt, partition, 0, rest)]
        return [
            *self._texts(prompt, partition, word, rest),
            _final(prompt, partition, self._outcome(prompt, word, rest)),
        ]

    def _texts(self, prompt: PromptSubmitted, partition: int, word: str, rest: str) -> list[To]:
        if not prompt.stream or word in {"refuse", "fail"}:
            return []
        pieces = [f"{piece} " for piece in rest.split(" ")]
        numbered = list(enumerate(pieces))
        if word == "gap":
            del numbered[1]
        if word == "twice":
            numbered.insert(1, numbered[0])
        if word == "half":
            numbered = [(0, "Half an answer. ")]
        return [_text(prompt, partition, index, piece) for index, piece in numbered]

    def _outcome(self, prompt: PromptSubmitted, word: str, rest: str) -> ResponseReady:
        asked = prompt.model_dump_json(exclude={"prompt_id", "deadline", "stream"})
        known, outcome = self.outcomes.setdefault(
            (prompt.tenant, prompt.prompt_id), (asked, _first_outcome(prompt, word, rest))
        )
        return outcome if known == asked else refusal_of(prompt, "idempotency_conflict", "refused")


def _first_outcome(prompt: PromptSubmitted, word: str, rest: str) -> ResponseReady:
    if word in {"refuse", "half"}:
        return refusal_of(prompt, rest, "refused")
    if word == "fail":
        return refusal_of(prompt, rest, "failed")
    text = "Something else." if word == "other" else rest
    return outcome_of(prompt.prompt_id, prompt.tenant, text=text)


def _text(prompt: PromptSubmitted, partition: int, index: int, text: str) -> To:
    reply = Reply(kind="text", prompt_id=prompt.prompt_id, tenant=prompt.tenant, index=index, text=text)
    return To(partition, reply)


def _final(prompt: PromptSubmitted, partition: int, outcome: ResponseReady) -> To:
    return To(partition, Reply(kind="outcome", prompt_id=prompt.prompt_id, tenant=prompt.tenant, outcome=outcome))


@asynccontextmanager
async def answering(bus: Bus) -> AsyncIterator[Pipeline]:
    """A pipeline at work on the bus."""
    pipeline = Pipeline()
    stage = Stage("pipeline", bus, [Route(PromptSubmitted, partial(Pipeline.answer, pipeline), emits=(Reply,))])
    running = asyncio.create_task(stage.run())
    try:
        await until(lambda: stage.ready)
        yield pipeline
    finally:
        stage.stop()
        await running


@dataclass
class Gateway:
    """A gateway that runs."""

    url: str
    health_url: str
    keys_file: Path
    metrics: InMemoryMetricReader
    stop: asyncio.Event
    task: "asyncio.Task[None]"

    @property
    def v1(self) -> str:
        return f"{self.url}/v1"

    def metric(self, name: str) -> list[tuple[dict[str, object], float]]:
        """Attributes and value of each point of a counter."""
        data = self.metrics.get_metrics_data()
        found = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] if data else []
        return [
            (dict(point.attributes or {}), float(point.value))
            for metric in found
            if metric.name == name
            for point in cast("Any", metric.data).data_points
        ]


def write_keys(path: Path) -> Path:
    entries = [
        {"sha256": hashed(KEY), "tenant": "default", "name": "test"},
        {"sha256": hashed(OTHER_KEY), "tenant": "acme"},
    ]
    path.write_text(json.dumps(entries))
    return path


@asynccontextmanager
async def serving_gateway(
    bus: Bus, folder: Path, *, instance: int = 0, grace: float = 5.0, traces: Traces | None = None, **settings: Any
) -> AsyncIterator[Gateway]:
    """A whole gateway on the bus, ready."""
    ready = folder / f"ready-{instance}.json"
    keys = folder / "keys.json"
    if not keys.exists():
        write_keys(keys)
    reader, stop = InMemoryMetricReader(), asyncio.Event()
    provider = MeterProvider(metric_readers=[reader])
    service = create_app(GatewaySettings(api_keys_file=keys, **settings))
    own = ServiceSettings(instance=instance, ready_file=ready, grace_seconds=grace, data_dir=folder / "data")
    runtime = Runtime(bus, Metrics(provider.get_meter("test")), traces or Traces(None), own)
    task = asyncio.create_task(service.run_on(runtime, stop))
    try:
        await until(lambda: task.done() or ready.exists())
        if task.done():
            task.result()
        facts = json.loads(ready.read_text())
        yield Gateway(facts["url"], f"http://127.0.0.1:{facts['health_port']}", keys, reader, stop, task)
    finally:
        stop.set()
        await task
        provider.shutdown()


async def until(condition: Any, seconds: float = 20.0) -> None:
    """Returns once the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - conditions are plain functions
            await asyncio.sleep(0.005)


def outcome_record(prompt_id: str, text: str, partition: int = 0) -> Outgoing:
    """An answer as post-processing would write it."""
    reply = Reply(kind="outcome", prompt_id=prompt_id, tenant="default", outcome=outcome_of(prompt_id, text=text))
    return Outgoing("reply", reply.key.encode(), encode(reply), (), partition)
