"""Makes the one outcome of a prompt from whatever ended its way."""

import json
from collections.abc import Mapping
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from pydantic import JsonValue

from schemas.base import PathEvent, Reason
from schemas.completions import CompletionCleared
from schemas.prompts import Source
from schemas.responses import ResponseReady
from services.post_processing.domain import structured
from services.post_processing.domain.restoring import restore, restore_json
from services.post_processing.domain.text import cited, tidy

STAGE = "post_processing"


def response_id(tenant: str, prompt_id: str) -> str:
    """The same for the same prompt, whenever and however often it is made."""
    return f"resp_{uuid5(NAMESPACE_URL, f'tailrace:{tenant}/{prompt_id}').hex}"


def answered(event: CompletionCleared, mapping: Mapping[str, str], now: datetime) -> ResponseReady:
    """The answer, with the upstream's own data back in it. Raises InvalidOutputError where JSON was wanted."""
    output: JsonValue = None
    text = tidy(event.text)
    sources = _sources(event, text)
    wanted = event.parameters.response_format
    if event.parameters.wants_json and wanted is not None:
        output = restore_json(structured.parse(event.text, wanted), mapping)
        text = json.dumps(output, ensure_ascii=False)
    else:
        text = restore(text, mapping)
    return ResponseReady(
        **_identity(event),
        status="answered",
        text=text,
        output=output,
        finish_reason=event.finish_reason,
        sources=tuple(_restored(source, mapping) for source in sources),
        masked=event.masked,
        model=event.model,
        template=event.template,
        usage=event.usage,
        created_at=now,
    )


def _sources(event: CompletionCleared, text: str) -> tuple[Source, ...]:
    """Those the answer cites; all that the model was shown where it cites none, as small models do."""
    numbers = cited(text) & {source.number for source in event.sources}
    return tuple(source for source in event.sources if source.number in numbers) if numbers else event.sources


def _restored(source: Source, mapping: Mapping[str, str]) -> Source:
    return Source(
        number=source.number,
        document_id=restore(source.document_id, mapping),
        title=None if source.title is None else restore(source.title, mapping),
        location=None if source.location is None else restore(source.location, mapping),
        score=source.score,
    )


def unanswered(
    event: PathEvent, status: str, reason: Reason, now: datetime, masked: Mapping[str, int] | None = None
) -> ResponseReady:
    """Why there is no answer; `status` is refused or failed."""
    return ResponseReady.model_validate(
        {**_identity(event), "status": status, "reason": reason, "masked": dict(masked or {}), "created_at": now}
    )


def invalid_output(event: CompletionCleared, error: structured.InvalidOutputError, now: datetime) -> ResponseReady:
    """The model wrote, but not the JSON that was asked for."""
    message = f"{error}; ask for fewer fields, allow more tokens, or use a larger model"
    reason = Reason(code="invalid_output", message=message, stage=STAGE)
    failed = unanswered(event, "failed", reason, now, event.masked)
    return failed.model_copy(update={"usage": event.usage, "model": event.model, "template": event.template})


def _identity(event: PathEvent) -> dict[str, object]:
    return {
        "response_id": response_id(event.tenant, event.prompt_id),
        "prompt_id": event.prompt_id,
        "tenant": event.tenant,
        "conversation_id": event.conversation_id,
        "timings_ms": dict(event.timings_ms),
    }
