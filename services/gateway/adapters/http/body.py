"""A request's body: bounded while it is being read, JSON, and of the expected form; else an error that says where.

Messages never quote the content.
"""

import asyncio
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from services.gateway.adapters.http.errors import ApiError
from services.gateway.adapters.http.requests import NOT_OFFERED

M = TypeVar("M", bound=BaseModel)
_TAGS = re.compile(r"(constrained-|function-|tuple\[|list\[|dict\[|literal\[)|(str|int|float|bool)$")
_KINDS = frozenset({"text", "parts"})
_DISCARD = 16
"""How many times the limit is read and thrown away, so that a caller who is still sending gets to read the answer."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How large a body may be, and how long it may take."""

    size: int
    timeout: timedelta


async def read_json(request: Request, model: type[M], limits: BodyLimits) -> M:
    """The body as `model`. Raises ApiError: 400, 408, 413, 415."""
    _check_headers(request)
    try:
        async with asyncio.timeout(limits.timeout.total_seconds()):
            body = await _read(request, limits.size)
    except TimeoutError:
        raise ApiError(408, "request_timeout", "the request's body did not arrive in time", None, 1) from None
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise invalid(error) from None


def _check_headers(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        message = 'the body must be JSON: send the header "content-type: application/json"'
        raise ApiError(415, "unsupported_media_type", message, "content-type")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        message = 'compressed bodies are not taken: leave out the header "content-encoding"'
        raise ApiError(415, "unsupported_media_type", message, "content-encoding")


async def _read(request: Request, limit: int) -> bytes:
    body, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            body += part
        elif size > limit * _DISCARD:
            break
    if size > limit:
        raise ApiError(413, "body_too_large", f"the body has more than {limit} bytes; send less, or split it")
    return bytes(body)


def invalid(error: ValidationError) -> ApiError:
    """400 for the first thing that is wrong with a body."""
    details = error.errors(include_input=False, include_url=False)
    first = details[0]
    param = param_of(first["loc"])
    code = "unsupported_parameter" if _not_offered(first) else "invalid_request"
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return ApiError(400, code, _words(first, param) + more, param or None)


def param_of(location: tuple[int | str, ...]) -> str:
    """`messages[0].content`, as OpenAI writes a place. Names of unions and of types are left out."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not (_TAGS.match(part) or (part in _KINDS and path.endswith(("content", "stop")))):
            path += f".{part[:64]}" if path else part[:64]
    return path[:200]


def _not_offered(detail: ErrorDetails) -> bool:
    return bool(detail["loc"]) and detail["loc"][0] in NOT_OFFERED


def _words(detail: ErrorDetails, param: str) -> str:
    kind, message = detail["type"], detail["msg"]
    if kind == "json_invalid":
        return f"the body is not valid JSON ({message.removeprefix('Invalid JSON: ')})"
    if _not_offered(detail):
        return f'"{param}" is not offered here: leave it out'
    if kind == "extra_forbidden":
        return f'unknown field "{param or "?"}": remove it or mend its name'
    if kind == "missing":
        return f'required field "{param}" is missing'
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    return f'"{param}": {message}' if param else f"the body must be a JSON object ({message})"
