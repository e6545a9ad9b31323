"""`/v1/feedback` and `/v1/subjects`: what people say of answers, and people who want to be forgotten."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Request
from pydantic import BaseModel, ValidationError

from libs.clock import Clock
from schemas.base import Event
from schemas.feedback import FeedbackKind, FeedbackSubmitted, SubjectErased
from schemas.responses import response_id_of
from services.gateway.adapters.http.asked import check_size, checked_key
from services.gateway.adapters.http.body import BodyLimits, invalid, read_json
from services.gateway.adapters.http.document import body, errors
from services.gateway.adapters.http.errors import unavailable
from services.gateway.adapters.http.requests import FeedbackRequest
from services.gateway.domain import COMPLETION_PREFIX, Caller, derived_id
from services.gateway.handlers import submit
from services.gateway.ports import Log, LogUnavailable

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255)]
SubjectId = Annotated[str, Path(min_length=1, max_length=128)]


class FeedbackReceipt(BaseModel):
    """The log has the feedback. What comes to nothing is a dead letter with its reason."""

    id: str
    object: Literal["feedback"] = "feedback"
    response_id: str
    kind: FeedbackKind
    status: Literal["submitted"] = "submitted"


class ErasureReceipt(BaseModel):
    """The log has the wish: what this person said leaves the examples, and every later data set."""

    subject: str
    object: Literal["subject.erasure"] = "subject.erasure"
    status: Literal["submitted"] = "submitted"


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the operations work with."""

    log: Log
    limits: BodyLimits
    clock: Clock
    new_id: Callable[[], str]


def add_feedback(router: APIRouter, parts: Feedback, known: Any) -> None:
    """Adds the operations. `known` is who calls."""

    @router.post(
        "/feedback",
        status_code=202,
        response_model=FeedbackReceipt,
        responses=errors(400, 401, 408, 413, 415, 500, 503),
        openapi_extra=body(FeedbackRequest),
    )
    async def create_feedback(
        request: Request, caller: Annotated[Caller, known], idempotency_key: IdempotencyKey = None
    ) -> FeedbackReceipt:
        """Judge an answer, or take a judgement back. 202: the log has it."""
        asked = await read_json(request, FeedbackRequest, parts.limits)
        made = _made_id(caller, idempotency_key, parts.new_id)
        event = feedback_of(asked, caller, made, parts.clock())
        request.scope["state"]["notes"]["feedback_id"] = event.feedback_id
        await _submit(request, event, parts.log)
        return FeedbackReceipt(id=event.feedback_id, response_id=event.response_id, kind=event.kind)

    @router.delete("/subjects/{subject}", status_code=202, responses=errors(400, 401, 404, 500, 503))
    async def erase_subject(request: Request, subject: SubjectId, caller: Annotated[Caller, known]) -> ErasureReceipt:
        """Forget a person: what he said so far leaves the examples. 202: the log has it."""
        await _submit(request, SubjectErased(tenant=caller.tenant, subject=subject), parts.log)
        return ErasureReceipt(subject=subject)


def feedback_of(request: FeedbackRequest, caller: Caller, made: str, now: datetime) -> FeedbackSubmitted:
    """Raises ApiError for what the bus would refuse."""
    try:
        event = FeedbackSubmitted(
            feedback_id=request.feedback_id or made,
            tenant=caller.tenant,
            created_at=request.created_at or now,
            **request.model_dump(exclude={"feedback_id", "created_at"}) | _of_answers(request, caller),
        )
    except ValidationError as error:
        raise invalid(error) from None
    check_size(event)
    return event


def _of_answers(request: FeedbackRequest, caller: Caller) -> dict[str, str]:
    """A caller may know an answer by the completion's id alone: that names the prompt, and the prompt its response."""
    names = {"response_id": request.response_id}
    if request.kind == "choice" and isinstance(request.value, str):
        names["value"] = request.value
    return {
        name: response_id_of(caller.tenant, given.removeprefix(COMPLETION_PREFIX))
        for name, given in names.items()
        if given.startswith(COMPLETION_PREFIX)
    }


def _made_id(caller: Caller, idempotency_key: str | None, new_id: Callable[[], str]) -> str:
    if idempotency_key is None:
        return f"feedback-{new_id()}"
    return derived_id("feedback", caller.tenant, checked_key(idempotency_key))


async def _submit(request: Request, event: Event, log: Log) -> None:
    try:
        await submit(event, request.scope["state"]["envelope"], log=log)
    except LogUnavailable:
        raise unavailable("log_unavailable", "the log did not take the record in time", 2) from None
