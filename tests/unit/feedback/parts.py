"""Feedback under test: records of all its topics, a store, and the recorder with the in-memory bus behind it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.metrics import NoOpMeter

from libs.bus import INPUT_HEADER, Context, Envelope, InMemoryBus, Output, SilentObserver, StoredRecord, encode
from libs.telemetry import Metrics
from schemas.base import Event, Lane, Message, ModelUsed, Usage
from schemas.completions import CompletionCleared
from schemas.feedback import ExampleRecorded, FeedbackSubmitted, SubjectErased
from schemas.prompts import PromptCleared
from schemas.responses import ResponseReady, response_id_of
from schemas.topics import CATALOGUE, topic_of
from services.feedback.adapters.masking import DetectedPersonalData
from services.feedback.adapters.recorder import Tools, record
from services.feedback.domain.facts import Fact
from services.feedback.domain.judging import Rules
from services.feedback.handlers import note_answer, note_erasure, note_feedback, note_outcome, note_prompt
from services.feedback.ports import Store

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
RULES = Rules(
    wait=timedelta(hours=24),
    keep=timedelta(days=30),
    keep_examples=timedelta(days=365),
    judgements=1000,
    room=1024 * 1024,
)
METRICS = Metrics(NoOpMeter("test"))
QUESTION = "Whom do I ask? <EMAIL_ADDRESS_1> does not answer."
ANSWER = "Write to <EMAIL_ADDRESS_1> once more."


@dataclass(frozen=True)
class Arrival:
    """An event as a record: where it lies and when it was written."""

    event: Event
    offset: int = 0
    partition: int = 0
    at: datetime = NOON
    cause: str | None = None

    @property
    def record(self) -> StoredRecord:
        headers = ((INPUT_HEADER, self.cause.encode()),) if self.cause is not None else ()
        moment = int(self.at.timestamp() * 1000)
        topic = topic_of(type(self.event)).name
        return StoredRecord(
            topic, self.partition, self.offset, moment, self.event.key.encode(), encode(self.event), headers
        )

    @property
    def context(self) -> Context:
        async def emit(output: Output) -> None:
            raise AssertionError(f"nothing is streamed here: {output}")

        return Context(self.record, Envelope("id"), Lane.REAL_TIME, 1, emit)


def prompt(tenant: str = "acme", prompt_id: str = "p-1", at: datetime = NOON, text: str = QUESTION) -> PromptCleared:
    return PromptCleared(
        **_identity(tenant, prompt_id, at),
        messages=(Message(role="user", content=text),),
        template="answer@1",
        policy="default@1",
    )


def answer(tenant: str = "acme", prompt_id: str = "p-1", at: datetime = NOON, text: str = ANSWER) -> CompletionCleared:
    return CompletionCleared(
        **_identity(tenant, prompt_id, at),
        text=text,
        finish_reason="stop",
        usage=Usage(prompt_tokens=3, completion_tokens=2),
        model=ModelUsed(name="m"),
        template="answer@1",
        policy="default@1",
    )


def outcome(tenant: str = "acme", prompt_id: str = "p-1", status: Any = "answered", **fields: Any) -> ResponseReady:
    given = {"created_at": NOON, "text": "in clear: ada@example.org", **fields}
    return ResponseReady(
        response_id=response_id_of(tenant, prompt_id),
        prompt_id=prompt_id,
        tenant=tenant,
        conversation_id=f"c-{prompt_id}",
        status=status,
        **given,
    )


def _identity(tenant: str, prompt_id: str, at: datetime) -> dict[str, Any]:
    return {"tenant": tenant, "prompt_id": prompt_id, "conversation_id": f"c-{prompt_id}", "submitted_at": at}


def answered(tenant: str = "acme", prompt_id: str = "p-1", offset: int = 0, **fields: Any) -> list[Arrival]:
    """The three records of a prompt that was answered."""
    return [
        Arrival(prompt(tenant, prompt_id), offset),
        Arrival(answer(tenant, prompt_id), offset),
        Arrival(outcome(tenant, prompt_id, **fields), offset, cause=f"completion-cleared/0/{offset}"),
    ]


def feedback(kind: Any = "thumb", value: Any = True, **fields: Any) -> FeedbackSubmitted:
    given = {
        "feedback_id": "f-1",
        "tenant": "acme",
        "response_id": response_id_of("acme", "p-1"),
        "created_at": NOON,
        **fields,
    }
    return FeedbackSubmitted(kind=kind, value=value, **given)


def erasure(subject: str = "s-1", tenant: str = "acme") -> SubjectErased:
    return SubjectErased(tenant=tenant, subject=subject)


@dataclass
class Gathering:
    """`Intake` that keeps facts for later, so that a test says what goes into one transaction."""

    facts: list[Fact] = field(default_factory=list)

    async def keep(self, fact: Fact) -> None:
        self.facts.append(fact)


class Desk:
    """The service without its stage: arrivals in, records out."""

    def __init__(self, store: Store, *, rules: Rules = RULES) -> None:
        self.store = store
        self.now = NOON + timedelta(hours=1)
        self.bus = InMemoryBus({topic.name: topic.partitions or 2 for topic in CATALOGUE})
        self.tools = Tools(self.bus, store, DetectedPersonalData(), rules, lambda: self.now, SilentObserver(), METRICS)

    async def hear(self, *arrivals: Arrival) -> None:
        """All of them in one transaction."""
        self.store.note(await self.facts(arrivals), self.now)

    async def facts(self, arrivals: Sequence[Arrival]) -> list[Fact]:
        gathering = Gathering()
        for arrival in arrivals:
            await self._handle(arrival, gathering)
        return gathering.facts

    async def _handle(self, arrival: Arrival, intake: Gathering) -> None:
        match arrival.event:
            case PromptCleared() as event:
                await note_prompt(event, intake=intake)
            case CompletionCleared() as event:
                await note_answer(event, context=arrival.context, intake=intake)
            case ResponseReady() as event:
                await note_outcome(event, context=arrival.context, intake=intake)
            case FeedbackSubmitted() as event:
                await note_feedback(
                    event, context=arrival.context, intake=intake, clock=lambda: self.now, metrics=METRICS
                )
            case SubjectErased() as event:
                await note_erasure(event, context=arrival.context, intake=intake)

    async def settle(self) -> None:
        """Everything that follows is written."""
        producer = await self.bus.producer()
        while await record(self.tools, producer):
            pass

    async def after(self, *arrivals: Arrival) -> "Desk":
        """Heard and settled."""
        await self.hear(*arrivals)
        await self.settle()
        return self

    async def later(self, span: timedelta) -> "Desk":
        """Time goes by, and is noticed."""
        self.now += span
        while self.store.sweep(self.now, self.tools.rules, 100):
            pass
        await self.settle()
        return self

    @property
    def examples(self) -> dict[str, bytes]:
        """What a compacted topic would hold in the end, by key."""
        last = {(r.key or b"").decode(): r.value for r in self.bus.records("example-recorded")}
        return {key: value for key, value in last.items() if value is not None}

    def example(self, prompt_id: str = "p-1", tenant: str = "acme") -> ExampleRecorded:
        return ExampleRecorded.model_validate_json(self.examples[response_id_of(tenant, prompt_id)])

    @property
    def letters(self) -> list[tuple[int, str]]:
        """Offset and reason of each dead letter."""
        found = [dict(record.headers) for record in self.bus.records("feedback-submitted-dlq")]
        return [(int(h["dlq_offset"]), h["dlq_reason"].decode()) for h in found]
