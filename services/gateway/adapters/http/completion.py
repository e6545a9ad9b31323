"""An outcome as OpenAI's completion, or as the error it stands for: the same over HTTP and in a batch's results."""

from schemas.responses import ResponseReady
from services.gateway.adapters.http.errors import ApiError, error_of
from services.gateway.adapters.http.responses import (
    AnswerMessage,
    ChatCompletion,
    Choice,
    finish_of,
    result_of,
    usage_of,
)


def completion_of(outcome: ResponseReady, completion_id: str, created: int, model: str) -> ChatCompletion:
    """`model`: as the caller named it, for an outcome that names none."""
    refused = outcome.status != "answered"
    message = AnswerMessage(
        content=None if refused else outcome.text or "",
        refusal=outcome.reason.message if refused and outcome.reason else None,
    )
    return ChatCompletion(
        id=completion_id,
        created=created,
        model=outcome.model.name if outcome.model else model,
        choices=(Choice(message=message, finish_reason=finish_of(outcome)),),
        usage=usage_of(outcome),
        tailrace=result_of(outcome),
    )


def raise_refusal(outcome: ResponseReady, *, repeatable: bool) -> None:
    """Raises ApiError unless there is an answer, or one that safety turned down."""
    if outcome.status == "answered":
        return
    if outcome.reason is None:
        raise ApiError(500, "internal_error", "the prompt has no answer, and its outcome does not say why")
    if outcome.reason.code != "unsafe_answer":
        raise error_of(outcome.reason, repeatable=repeatable)
