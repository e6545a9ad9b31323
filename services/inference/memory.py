"""Which prompts have been answered: read back from what was written, so that nothing is generated twice."""

from libs.bus import OutputMemory, Record
from schemas.completions import CompletionGenerated
from schemas.prompts import PromptFailed
from schemas.topics import topic_named
from services.inference.settings import InferenceSettings

Finished = OutputMemory[tuple[str, str], bool]


def finished_prompts(settings: InferenceSettings) -> Finished:
    """The memory of finished prompts, bounded by settings."""
    return OutputMemory(
        (CompletionGenerated, PromptFailed), _read, window=settings.remember_for, limit=settings.remember_at_most
    )


def _read(record: Record) -> tuple[tuple[str, str], bool] | None:
    if record.value is None:
        return None
    event_type = topic_named(record.topic).event
    assert event_type is not None
    event = event_type.model_validate_json(record.value)
    assert isinstance(event, CompletionGenerated | PromptFailed)
    return event.identity, True
