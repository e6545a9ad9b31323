"""Event in, event out: a prompt or a document at the door."""

from libs.bus import Context, OutputMemory, Rejected
from libs.clock import Clock
from libs.telemetry import Metrics
from schemas.base import Reason
from schemas.documents import DocumentAccepted, DocumentRefused, DocumentSubmitted
from schemas.prompts import PromptAccepted, PromptFailed, PromptRefused, PromptRepeated, PromptSubmitted
from services.ingestion import domain
from services.ingestion.domain import Limits, Refusal
from services.ingestion.memory import Seen
from services.ingestion.ports import TokenCounter

Accepted = PromptAccepted | PromptRefused | PromptFailed | PromptRepeated | None


def accept_prompt(
    event: PromptSubmitted,
    *,
    context: Context,
    limits: Limits,
    tokens: TokenCounter,
    seen: OutputMemory[tuple[str, str], Seen],
    clock: Clock,
    metrics: Metrics,
) -> Accepted:
    """A prompt is accepted once; repeated, it leads to a copy of its outcome; else it is refused with the reason."""
    carried = _carried(event, context)
    fingerprint = domain.fingerprint(event)
    if (before := seen.find((event.tenant, event.prompt_id))) is not None:
        metrics.count("tailrace.repeated_prompts")
        return _again(before, fingerprint, carried, context)
    metrics.count("tailrace.prompts", 1, {"lane": context.lane.value})
    if event.deadline is not None and clock() >= event.deadline:
        reason = Reason(code="deadline_exceeded", message='"deadline" had passed on arrival', stage="ingestion")
        return PromptFailed(**carried, reason=reason, fingerprint=fingerprint)
    return _judge(event, carried, fingerprint, limits, tokens)


def _judge(
    event: PromptSubmitted, carried: dict[str, object], fingerprint: str, limits: Limits, tokens: TokenCounter
) -> PromptAccepted | PromptRefused:
    refusal = domain.too_long(event.messages, limits)
    if refusal is None:
        messages = domain.clean_messages(event.messages)
        refusal = domain.unanswerable(messages, event.parameters.max_completion_tokens, limits)
        refusal = refusal or domain.unusable_schema(event.parameters)
    if refusal is None:
        count = tokens.count_messages(messages)
        refusal = domain.too_many_tokens(count, limits)
    if refusal is not None:
        return PromptRefused(**carried, reason=_reason(refusal), fingerprint=fingerprint)
    return PromptAccepted(
        **carried,
        messages=messages,
        parameters=event.parameters,
        grounding=event.grounding,
        template=event.template,
        model=event.model,
        stream=event.stream,
        metadata=event.metadata,
        prompt_tokens=count,
        fingerprint=fingerprint,
    )


def _carried(event: PromptSubmitted, context: Context) -> dict[str, object]:
    return {
        "prompt_id": event.prompt_id,
        "tenant": event.tenant,
        "conversation_id": event.key,
        "reply_to": context.envelope.reply_to,
        "shadow": context.envelope.shadow,
        "deadline": event.deadline,
        "submitted_at": context.timestamp,
    }


def _again(before: Seen, fingerprint: str, carried: dict[str, object], context: Context) -> PromptRepeated | None:
    record = context.record
    if before.cause == (record.topic, record.partition, record.offset):
        # This very record was handled before a crash; its output is in the log.
        return None
    conflict = before.fingerprint is not None and before.fingerprint != fingerprint
    if context.envelope.reply_to is not None:
        return PromptRepeated(**carried, conflict=conflict)
    if conflict:
        raise Rejected(
            'this "prompt_id" was used before with other content; a new prompt needs a new id',
            code="idempotency_conflict",
            answered=True,
        )
    return None


def _reason(refusal: Refusal) -> Reason:
    return Reason(code=refusal.code, message=refusal.message, stage="ingestion")


def accept_document(
    event: DocumentSubmitted, *, limits: Limits, metrics: Metrics
) -> DocumentAccepted | DocumentRefused:
    """A document is accepted with its text cleaned; its content hash is its version."""
    metrics.count("tailrace.documents", 1, {"deleted": event.deleted})
    body = event.content if event.content is not None else event.content_base64 or ""
    if len(body) > limits.document_bytes:
        message = f"the content has {len(body)} bytes, the limit is {limits.document_bytes}; split the document"
        reason = Reason(code="too_long", message=message, stage="ingestion")
        return DocumentRefused(document_id=event.document_id, tenant=event.tenant, reason=reason)
    content = domain.clean_text(event.content) if event.content is not None else None
    title = domain.clean_text(event.title) if event.title is not None else None
    return DocumentAccepted(
        document_id=event.document_id,
        tenant=event.tenant,
        collection=event.collection,
        title=title,
        media_type=event.media_type,
        content=content,
        content_base64=event.content_base64,
        source_uri=event.source_uri,
        metadata=event.metadata,
        deleted=event.deleted,
        content_hash=domain.document_version(event.media_type, title, content or event.content_base64 or ""),
    )
