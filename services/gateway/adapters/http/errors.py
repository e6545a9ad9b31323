"""OpenAI's errors: one shape for all, a status and a code for every reason, and whether trying again makes sense.

The table is the contract. A prompt that safety turns down is Azure's and OpenAI's 400 `content_filter`; an answer it
turns down is a completion with the finish reason `content_filter`, so it is not in the table.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from schemas.base import Reason, ReasonCode

ErrorType = Literal["invalid_request_error", "rate_limit_error", "server_error"]


class ErrorDetail(BaseModel):
    """What was wrong, where, and how to mend it."""

    model_config = ConfigDict(extra="forbid")

    message: str
    type: ErrorType
    param: str | None
    """The field, header or query parameter at fault, e.g. `messages[0].content`."""
    code: str | None


class ErrorBody(BaseModel):
    """OpenAI's error object."""

    model_config = ConfigDict(extra="forbid")

    error: ErrorDetail


@dataclass
class ApiError(Exception):
    """A request that ends in an error. `retry_after` in seconds; None: trying again will not help."""

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after: int | None = None

    @property
    def body(self) -> bytes:
        """OpenAI's error object, as JSON."""
        detail = ErrorDetail(message=self.message, type=self._type, param=self.param, code=self.code)
        return ErrorBody(error=detail).model_dump_json().encode()

    @property
    def _type(self) -> ErrorType:
        if self.status == 429:
            return "rate_limit_error"
        return "server_error" if self.status >= 500 else "invalid_request_error"

    def response(self) -> Response:
        """The same as an HTTP response."""
        headers = {"x-should-retry": "false" if self.retry_after is None else "true"}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return Response(self.body, self.status, headers, media_type="application/json")


_REASONS: dict[ReasonCode, tuple[int, str, str | None]] = {
    "invalid_request": (400, "invalid_request", None),
    "too_long": (400, "context_length_exceeded", "messages"),
    "unsafe_prompt": (400, "content_filter", "messages"),
    "unsafe_answer": (400, "content_filter", None),
    "unknown_model": (404, "model_not_found", "model"),
    "unknown_template": (400, "unknown_template", "tailrace.template"),
    "no_source": (422, "no_source", "tailrace.grounding"),
    "idempotency_conflict": (409, "idempotency_conflict", None),
    "cancelled": (499, "cancelled", None),
    "invalid_output": (500, "invalid_output", "response_format"),
    "internal_error": (500, "internal_error", None),
    "engine_unavailable": (503, "engine_unavailable", None),
    "deadline_exceeded": (504, "deadline_exceeded", None),
}


def error_of(reason: Reason, *, repeatable: bool) -> ApiError:
    """The error a reason leads to. A `repeatable` request would get the same outcome again: trying is no use."""
    status, code, param = _REASONS[reason.code]
    retry_after = 5 if reason.code == "engine_unavailable" and not repeatable else None
    return ApiError(status, code, reason.message, param, retry_after)


def unavailable(code: str, message: str, retry_after: int) -> ApiError:
    """503: the same request may succeed later."""
    return ApiError(503, code, message, None, retry_after)
