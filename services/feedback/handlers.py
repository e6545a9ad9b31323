"""Events in, facts into the store. What follows from facts is written by the recorder, whatever order they came in."""

import re
from datetime import UTC, datetime

from libs.bus import INPUT_HEADER, Context, Record, Rejected, header
from libs.clock import Clock
from libs.telemetry import Metrics
from schemas.completions import CompletionCleared
from schemas.feedback import FeedbackSubmitted, SubjectErased
from schemas.prompts import PromptCleared
from schemas.responses import ResponseReady, response_id_of
from services.feedback.domain.facts import (
    AnswerSeen,
    CaseKey,
    Erased,
    Fact,
    Origin,
    OutcomeSeen,
    PromptSeen,
    Said,
    Withdrawn,
    digest_of,
    subject_key,
)
from services.feedback.ports import Intake

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


async def note_prompt(event: PromptCleared, *, intake: Intake) -> None:
    """What the model is going to see, masked."""
    if event.shadow is None:
        await intake.keep(
            PromptSeen(
                case=CaseKey(event.tenant, response_id_of(event.tenant, event.prompt_id)),
                prompt_id=event.prompt_id,
                conversation_id=event.conversation_id,
                submitted_at=_utc(event.submitted_at),
                messages=event.messages,
            )
        )


async def note_answer(event: CompletionCleared, *, context: Context, intake: Intake) -> None:
    """What the model answered, masked."""
    if event.shadow is None:
        record = context.record
        await intake.keep(
            AnswerSeen(
                case=CaseKey(event.tenant, response_id_of(event.tenant, event.prompt_id)),
                place=f"{record.topic}/{record.partition}/{record.offset}",
                submitted_at=_utc(event.submitted_at),
                text=event.text,
                model=event.model,
                template=event.template,
                policy=event.policy,
            )
        )


async def note_outcome(event: ResponseReady, *, context: Context, intake: Intake) -> None:
    """How a prompt ended; its text stays where it is."""
    cause = header(context.record, INPUT_HEADER)
    await intake.keep(
        OutcomeSeen(
            case=CaseKey(event.tenant, event.response_id),
            status=event.status,
            created_at=_utc(event.created_at),
            cause=cause.decode(errors="replace") if cause is not None else None,
        )
    )


async def note_feedback(
    event: FeedbackSubmitted, *, context: Context, intake: Intake, clock: Clock, metrics: Metrics
) -> None:
    """A judgement, or one taken back. Raises Rejected for ids that no store can hold."""
    for name in ("feedback_id", "response_id", "subject", "value"):
        if name != "value" or event.kind in ("choice", "withdrawal"):
            _check_id(name, getattr(event, name))
    await intake.keep(_fact_of(event, context, clock()))
    metrics.count("tailrace.feedback", 1, {"kind": event.kind})


async def note_erasure(event: SubjectErased, *, context: Context, intake: Intake) -> None:
    """A person is forgotten: all that was said up to now."""
    key = subject_key(event.tenant, event.subject)
    await intake.keep(Erased(tenant=event.tenant, subject_key=key, at=context.timestamp))


def _fact_of(event: FeedbackSubmitted, context: Context, now: datetime) -> Fact:
    if event.kind == "withdrawal":
        return Withdrawn(tenant=event.tenant, feedback_id=str(event.value))
    created_at = _utc(event.created_at or context.timestamp)
    origin = _origin(context.record)
    return Said(
        case=CaseKey(event.tenant, event.response_id),
        feedback_id=event.feedback_id,
        created_at=created_at,
        digest=digest_of(event, origin),
        said_at=min(created_at, context.timestamp),
        dated=event.created_at is not None,
        received_at=now,
        subject_key=subject_key(event.tenant, event.subject) if event.subject is not None else None,
        other=str(event.value) if event.kind == "choice" else None,
        origin=origin,
    )


def _origin(record: Record) -> Origin:
    return Origin(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple((name, value or b"") for name, value in record.headers),
    )


def _check_id(name: str, value: object) -> None:
    if isinstance(value, str) and _CONTROL.search(value):
        raise Rejected(f'"{name}" holds control characters; ids are plain text')


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
