"""Which prompts ingestion has seen: read back from what it wrote, no database beside the log."""

from dataclasses import dataclass

from libs.bus import OutputMemory, Record, cause_of
from schemas.base import Event
from schemas.prompts import PromptAccepted, PromptFailed, PromptRefused
from schemas.topics import topic_named
from services.ingestion.settings import IngestionSettings


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a prompt stood in its topic, and what it asked."""

    cause: tuple[str, int, int] | None
    fingerprint: str | None


_OUTPUTS: tuple[type[Event], ...] = (PromptAccepted, PromptRefused, PromptFailed)
_INPUTS = frozenset({"prompt-submitted", "prompt-submitted-batch"})


def seen_prompts(settings: IngestionSettings) -> OutputMemory[tuple[str, str], Seen]:
    """The memory of prompt ids, bounded by settings."""
    return OutputMemory(_OUTPUTS, _read, window=settings.remember_for, limit=settings.remember_at_most)


def _read(record: Record) -> tuple[tuple[str, str], Seen] | None:
    cause = cause_of(record)
    if cause is None or cause[0] not in _INPUTS or record.value is None:
        # A refusal or failure that another stage wrote: the prompt was accepted before.
        return None
    event_type = topic_named(record.topic).event
    assert event_type is not None
    event = event_type.model_validate_json(record.value)
    assert isinstance(event, PromptAccepted | PromptRefused | PromptFailed)
    return event.identity, Seen(cause, event.fingerprint)
