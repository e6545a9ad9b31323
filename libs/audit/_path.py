"""The prompt path as the checker sees it: which topics it reads, what may rest on what, and who reads each.

Made from the catalogue; knows no records.
"""

from schemas.base import Event, Lane
from schemas.completions import CompletionCleared, CompletionGenerated
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
from schemas.responses import ResponseReady, ResponseShadow
from schemas.topics import CATALOGUE, topics_of

SUBMITTED, ACCEPTED, GROUNDED = PromptSubmitted.TYPE, PromptAccepted.TYPE, PromptGrounded.TYPE
CLEARED, GENERATED, COMPLETION_CLEARED = PromptCleared.TYPE, CompletionGenerated.TYPE, CompletionCleared.TYPE
REFUSED, FAILED, REPEATED, OUTCOME = PromptRefused.TYPE, PromptFailed.TYPE, PromptRepeated.TYPE, ResponseReady.TYPE

_EVENTS: tuple[type[Event], ...] = (
    PromptSubmitted,
    PromptCancelled,
    PromptAccepted,
    PromptGrounded,
    PromptCleared,
    CompletionGenerated,
    CompletionCleared,
    PromptRefused,
    PromptFailed,
    PromptRepeated,
    ResponseReady,
    ResponseShadow,
)
"""From the prompt to its outcome: what is written later stands later."""

EVENT_TOPICS: tuple[str, ...] = tuple(topic.name for event in _EVENTS for topic in topics_of(event))
LETTER_TOPICS: tuple[str, ...] = tuple(t.name for t in CATALOGUE if t.dead_letters_of in EVENT_TOPICS)
TOPICS: tuple[str, ...] = (*EVENT_TOPICS, *LETTER_TOPICS)
"""All that is read, upstream first; an outcome and a dead letter come after what led to them."""

STAGES: tuple[str, ...] = (ACCEPTED, GROUNDED, CLEARED, GENERATED, COMPLETION_CLEARED)
"""Where one conversation's prompts stand in the order they were submitted in."""

MAY_REST_ON: dict[str, frozenset[str]] = {
    ACCEPTED: frozenset({SUBMITTED}),
    REPEATED: frozenset({SUBMITTED}),
    GROUNDED: frozenset({ACCEPTED}),
    CLEARED: frozenset({GROUNDED}),
    GENERATED: frozenset({CLEARED}),
    COMPLETION_CLEARED: frozenset({GENERATED}),
}
OUTCOME_MAY_REST_ON: dict[str, frozenset[str]] = {
    "answered": frozenset({COMPLETION_CLEARED}),
    "refused": frozenset({REFUSED}),
    "failed": frozenset({FAILED, COMPLETION_CLEARED}),
}
"""An answer that was cleared may still fail to be the JSON that was asked for."""

_BY_NAME = {topic.name: topic for topic in CATALOGUE}
_GROUPS = frozenset({"ingestion", "grounding", "safety", "inference", "post_processing"})
_TYPES = {topic.name: event.TYPE for event in _EVENTS for topic in topics_of(event)} | {ResponseShadow.TYPE: OUTCOME}
READERS: dict[str, str] = {
    name: next((service for service in _BY_NAME[name].consumers if service in _GROUPS), "nobody")
    for name in EVENT_TOPICS
}
"""The service whose group handles a topic's records."""


def kind_of(topic: str) -> str | None:
    """The type of the topic's events, the same in both lanes; None for dead letters and topics that are not read."""
    return _TYPES.get(topic)


def letters_of(topic: str) -> str | None:
    """The topic whose dead letters this one holds."""
    return _BY_NAME[topic].dead_letters_of if topic in _BY_NAME else None


def lane_of(topic: str) -> str | None:
    """The topic's lane; None for a topic of none, or one nobody knows. Shadows run in the batch lane."""
    if topic == ResponseShadow.TYPE:
        return Lane.BATCH.value
    found = _BY_NAME.get(topic)
    return None if found is None or found.lane is None else found.lane.value
