"""The one catalogue: each topic with its event, who writes and reads it, and how the broker keeps it.

Broker set-up, routing, AsyncAPI, docs and tests read this file; nothing else says what a topic is. The prompt path
runs twice, real-time and batch, with the same events; every topic a service consumes has a dead letter topic.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, get_args

from schemas.base import Event, Lane
from schemas.completions import (
    CompletionChunk,
    CompletionChunkCleared,
    CompletionCleared,
    CompletionGenerated,
)
from schemas.documents import DocumentAccepted, DocumentIndexed, DocumentRefused, DocumentSubmitted
from schemas.evaluation import (
    CanaryProgressed,
    EvaluationProgressed,
    EvaluationRequested,
    ModelEvaluated,
    ModelPromoted,
    ModelRolledBack,
    PromotionRequested,
)
from schemas.feedback import ExampleRecorded, FeedbackSubmitted, SubjectErased
from schemas.prompts import (
    PromptAccepted,
    PromptCancelled,
    PromptCleared,
    PromptFailed,
    PromptGrounded,
    PromptRefused,
    PromptRepeated,
    PromptSubmitted,
)
from schemas.responses import Reply, ResponseReady, ResponseShadow
from schemas.training import DatasetPublished, ModelTrained, TrainingProgressed, TrainingRequested

Service = Literal[
    "gateway",
    "ingestion",
    "grounding",
    "safety",
    "inference",
    "post_processing",
    "feedback",
    "retraining",
    "evaluation",
]
Access = Literal["public-input", "public-output", "internal"]

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Topic:
    """One Kafka topic. `event` is None for dead letter topics: they hold any bytes."""

    name: str
    event: type[Event] | None
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    summary: str
    access: Access = "internal"
    lane: Lane | None = None
    """None: the topic belongs to no lane."""
    partitions: int | None = None
    """None: the prompt path's common partition count, a setting."""
    retention_ms: int = 7 * DAY_MS
    compacted: bool = False
    before_the_gate: bool = False
    """Holds personal data in clear: short retention, own readers only."""
    dead_letters_of: str | None = None

    @property
    def config(self) -> dict[str, str]:
        """Settings of the topic, as the broker names them."""
        policy = {"cleanup.policy": "compact"} if self.compacted else {"cleanup.policy": "delete"}
        retention = {} if self.compacted else {"retention.ms": str(self.retention_ms)}
        return {**policy, **retention, "max.message.bytes": str(MAX_MESSAGE_BYTES)}


MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""What the broker takes; services refuse earlier and with a reason."""
REPLY_PARTITIONS = 16
"""One per gateway instance, at most so many."""


def _lanes(topic: Topic) -> tuple[Topic, Topic]:
    return (
        replace(topic, lane=Lane.REAL_TIME),
        replace(topic, name=f"{topic.name}-batch", lane=Lane.BATCH, summary=f"{topic.summary} (batch lane)"),
    )


def _topic(event: type[Event], producers: str, consumers: str, summary: str, **options: object) -> Topic:
    return Topic(event.TYPE, event, tuple(producers.split()), tuple(consumers.split()), summary, **options)  # type: ignore[arg-type]


_ANY_STAGE = "ingestion grounding safety inference post_processing"

_PATH: tuple[Topic, ...] = (
    _topic(PromptSubmitted, "upstream gateway console", "ingestion", "An upstream wants an answer",
           access="public-input", retention_ms=DAY_MS, before_the_gate=True),
    _topic(PromptAccepted, "ingestion", "grounding", "A prompt passed validation",
           retention_ms=DAY_MS, before_the_gate=True),
    _topic(PromptGrounded, "grounding", "safety", "A prompt was rendered with its sources",
           retention_ms=DAY_MS, before_the_gate=True),
    _topic(PromptCleared, "safety", "inference feedback", "Safety let a prompt pass, masked"),
    _topic(PromptRefused, _ANY_STAGE, "post_processing", "A prompt was turned down"),
    _topic(PromptFailed, _ANY_STAGE, "post_processing", "A prompt could not be answered"),
    _topic(PromptRepeated, "ingestion", "post_processing", "A known prompt id came again from a waiting caller"),
    _topic(CompletionGenerated, "inference", "safety", "The model has answered"),
    _topic(CompletionCleared, "safety", "post_processing feedback", "Safety let a completion pass"),
    _topic(ResponseReady, "post_processing", "upstream grounding feedback evaluation console",
           "The one outcome of a prompt", access="public-output"),
)  # fmt: skip

_SINGLE: tuple[Topic, ...] = (
    _topic(ResponseShadow, "post_processing", "console", "The one outcome of a shadow: a prompt asked beside history",
           retention_ms=DAY_MS),
    _topic(PromptCancelled, "upstream gateway", "inference", "The upstream no longer wants the answer",
           access="public-input", retention_ms=HOUR_MS),
    _topic(CompletionChunk, "inference", "safety", "A sentence window of a completion under way",
           retention_ms=HOUR_MS),
    _topic(CompletionChunkCleared, "safety", "post_processing", "A screened sentence window",
           retention_ms=HOUR_MS),
    _topic(Reply, "post_processing", "gateway", "Screened text and a copy of the outcome, to one caller",
           retention_ms=HOUR_MS, partitions=REPLY_PARTITIONS),
    _topic(DocumentSubmitted, "upstream gateway console", "ingestion",
           "A document is new, changed or gone", access="public-input", before_the_gate=True),
    _topic(DocumentAccepted, "ingestion", "grounding", "A document passed validation", before_the_gate=True),
    _topic(DocumentIndexed, "grounding", "grounding evaluation console", "A document's chunks with their vectors",
           compacted=True, before_the_gate=True),
    _topic(DocumentRefused, "ingestion grounding", "upstream console", "A document could not be taken, and why",
           access="public-output"),
    _topic(FeedbackSubmitted, "upstream gateway console", "feedback", "Somebody judges an answer, or takes it back",
           access="public-input", retention_ms=DAY_MS, before_the_gate=True),
    _topic(SubjectErased, "upstream gateway", "feedback", "A person wants to be forgotten", access="public-input"),
    _topic(ExampleRecorded, "feedback", "evaluation console",
           "An answered prompt with all judgements that stand; null: no more", compacted=True),
    _topic(DatasetPublished, "feedback console", "upstream console retraining", "A data set for training is there",
           access="public-output", retention_ms=90 * DAY_MS),
    _topic(TrainingRequested, "upstream console retraining", "retraining", "A model is to be trained",
           access="public-input"),
    _topic(TrainingProgressed, "retraining", "upstream console", "How far a training has come",
           access="public-output"),
    _topic(ModelTrained, "retraining", "upstream console evaluation",
           "An adapter is trained and registered as candidate", access="public-output", retention_ms=90 * DAY_MS),
    _topic(EvaluationRequested, "upstream console evaluation", "evaluation",
           "A candidate is to be examined against the champion", access="public-input"),
    _topic(EvaluationProgressed, "evaluation", "upstream console", "How far an examination has come",
           access="public-output"),
    _topic(ModelEvaluated, "evaluation", "upstream console", "A candidate was examined: the verdict and its reasons",
           access="public-output", retention_ms=90 * DAY_MS),
    _topic(PromotionRequested, "upstream console evaluation", "evaluation",
           "Something else is to serve, or what served before", access="public-input"),
    _topic(CanaryProgressed, "evaluation", "upstream console",
           "How a candidate does on its share of the conversations", access="public-output"),
    _topic(ModelPromoted, "evaluation", "upstream console inference",
           "An adapter serves all conversations, or a share of them", access="public-output", compacted=True),
    _topic(ModelRolledBack, "evaluation", "upstream console inference", "What was promoted last serves no more",
           access="public-output", compacted=True),
)  # fmt: skip

_GROUP_READERS = frozenset(get_args(Service)) - {"gateway"}


def _dead_letters(topic: Topic) -> Topic:
    readers = tuple(c for c in topic.consumers if c in _GROUP_READERS)
    return Topic(
        f"{topic.name}-dlq",
        None,
        readers,
        ("console",),
        f"What could not be handled on {topic.name}, with the reason in its headers",
        lane=topic.lane,
        retention_ms=DAY_MS if topic.before_the_gate else 14 * DAY_MS,
        before_the_gate=topic.before_the_gate,
        dead_letters_of=topic.name,
    )


def _catalogue() -> Iterator[Topic]:
    events = [*(t for topic in _PATH for t in _lanes(topic)), *_SINGLE]
    yield from events
    yield from (_dead_letters(t) for t in events if _GROUP_READERS & set(t.consumers))


CATALOGUE: tuple[Topic, ...] = tuple(_catalogue())
"""Every topic, dead letters included."""

_BY_NAME = {topic.name: topic for topic in CATALOGUE}


def topic_named(name: str) -> Topic:
    """The topic of that name. Raises KeyError with the known names."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise KeyError(f"no topic {name!r} in the catalogue; there are: {', '.join(sorted(_BY_NAME))}") from None


@cache
def topic_of(event: type[Event], lane: Lane = Lane.REAL_TIME) -> Topic:
    """Where events of this type are written in this lane (the lane does not matter to topics without a twin)."""
    for topic in CATALOGUE:
        if topic.event is event and topic.lane in (lane, None):
            return topic
    raise KeyError(f"{event.__name__} has no topic in schemas/topics.py")


def topics_of(event: type[Event]) -> tuple[Topic, ...]:
    """Both lanes of an event type, or its one topic."""
    return tuple(topic for topic in CATALOGUE if topic.event is event)


def dead_letter_topic(name: str) -> str:
    """Where what could not be handled on `name` goes. Raises KeyError if no service consumes it."""
    return topic_named(f"{name}-dlq").name
