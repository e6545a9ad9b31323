"""The one outcome of a prompt, made from the decision that ended it."""

from collections.abc import Mapping
from datetime import datetime

from pydantic import JsonValue

from schemas.base import PathEvent, Reason
from schemas.completions import CompletionCleared
from schemas.prompts import PromptFailed, PromptRefused, PromptRepeated
from schemas.responses import ResponseReady, response_id_of
from services.post_processing.domain.citations import cited
from services.post_processing.domain.json_output import InvalidOutput, check, parse, unfenced
from services.post_processing.domain.restoration import restore, restore_json, restore_json_text, restore_source
from services.post_processing.domain.text import clean_text

STAGE = "post_processing"
Values = Mapping[str, str]


def answered(event: CompletionCleared, values: Values, now: datetime) -> ResponseReady:
    """The answer with the upstream's own values back in it; failed, if it had to be JSON and is not."""
    try:
        text, output = _content(event, values)
    except InvalidOutput as problem:
        return _failed(event, _why_invalid(event, problem), now)
    return ResponseReady(
        **_identity(event),
        status="answered",
        text=text,
        output=output,
        finish_reason=event.finish_reason,
        sources=tuple(restore_source(source, values) for source in cited(event.text, event.sources)),
        masked=event.masked,
        model=event.model,
        template=event.template,
        usage=event.usage,
        cached=event.cached,
        created_at=now,
    )


def refused(event: PromptRefused, now: datetime) -> ResponseReady:
    """Validation, grounding or safety turned the prompt down."""
    return ResponseReady(
        **_identity(event),
        status="refused",
        reason=event.reason,
        masked=event.masked,
        model=event.model,
        created_at=now,
    )


def failed(event: PromptFailed, now: datetime) -> ResponseReady:
    """A stage could not do its part."""
    return ResponseReady(**_identity(event), status="failed", reason=event.reason, model=event.model, created_at=now)


def conflicting(event: PromptRepeated, now: datetime) -> ResponseReady:
    """For one caller only: he used a known prompt id for something else."""
    message = f"the prompt id {event.prompt_id!r} was used before with other content; choose a new one"
    reason = Reason(code="idempotency_conflict", message=message, stage=STAGE)
    identity = _identity(event) | {"response_id": response_id_of(event.tenant, f"{event.prompt_id}/conflict")}
    return ResponseReady(**identity, status="refused", reason=reason, created_at=now)


def too_old(event: PromptRepeated, now: datetime) -> ResponseReady:
    """For one caller only: the prompt has its outcome, but it is no longer held here."""
    message = "this prompt was answered before and its outcome is no longer held; read it from response-ready"
    reason = Reason(code="internal_error", message=message, stage=STAGE)
    return ResponseReady(**_identity(event), status="failed", reason=reason, created_at=now)


def _content(event: CompletionCleared, values: Values) -> tuple[str, JsonValue]:
    wanted = event.parameters.response_format
    if wanted is None or wanted.type == "text":
        return restore(clean_text(event.text, event.finish_reason), values), None
    text = restore_json_text(unfenced(event.text), values)
    output = parse(text)
    schema = wanted.schema_object
    restored = restore_json(schema, values) if schema is not None else None
    check(output, restored if isinstance(restored, dict) else None)
    return text, output


def _why_invalid(event: CompletionCleared, problem: InvalidOutput) -> Reason:
    cut = "; it was cut off at max_completion_tokens, raise it" if event.finish_reason == "length" else ""
    return Reason(code="invalid_output", message=f"the model's answer is {problem}{cut}", stage=STAGE)


def _failed(event: CompletionCleared, reason: Reason, now: datetime) -> ResponseReady:
    return ResponseReady(
        **_identity(event),
        status="failed",
        reason=reason,
        finish_reason=event.finish_reason,
        masked=event.masked,
        model=event.model,
        template=event.template,
        usage=event.usage,
        cached=event.cached,
        created_at=now,
    )


def _identity(event: PathEvent) -> dict[str, object]:
    return {
        "response_id": response_id_of(event.tenant, event.prompt_id),
        "prompt_id": event.prompt_id,
        "tenant": event.tenant,
        "conversation_id": event.conversation_id,
        "timings_ms": event.timings_ms,
    }
