"""The lines of a batch: what an input line asks, and the result line it leads to, both in OpenAI's form.

A result's id ends in the number of its input line; that is how a job that is taken up knows what it has done.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from services.gateway.domain.jobs import Job, Kind


@dataclass(frozen=True, slots=True)
class RawLine:
    """One line of a file, counted from 1. `data` is None where it is longer than a line may be."""

    number: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Request:
    """A line that can be asked. `body` is JSON."""

    number: int
    custom_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Unusable:
    """A line that cannot be asked, and how to mend it."""

    number: int
    custom_id: str | None
    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a line led to, as a response to the same request over HTTP would have been."""

    kind: Kind
    status_code: int
    body: dict[str, Any]
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    custom_id: str = Field(min_length=1, max_length=512)
    method: Literal["POST"]
    url: str
    body: dict[str, JsonValue]


def read_line(raw: RawLine, endpoint: str, longest: int) -> Request | Unusable:
    """What a line asks. `longest` in bytes, for the message."""
    if raw.data is None:
        message = f"line {raw.number} is longer than {longest} bytes: send less in one request"
        return Unusable(raw.number, None, "line_too_long", message)
    try:
        line = _Line.model_validate_json(raw.data)
    except ValidationError as error:
        return _unusable(raw.number, raw.data, error.errors(include_url=False, include_input=False)[0])
    if line.url != endpoint:
        message = f'line {raw.number}: "url" must be the batch\'s endpoint, "{endpoint}"'
        return Unusable(raw.number, line.custom_id, "invalid_url", message, "url")
    return Request(raw.number, line.custom_id, json.dumps(line.body).encode())


def _unusable(number: int, data: bytes, detail: ErrorDetails) -> Unusable:
    where = ".".join(str(part)[:64] for part in detail["loc"])
    kind, custom_id = detail["type"], custom_id_of(data)
    if kind == "json_invalid":
        message = f"line {number} is not valid JSON ({detail['msg'].removeprefix('Invalid JSON: ')})"
        return Unusable(number, custom_id, "invalid_json_line", message)
    if kind == "missing":
        message = f'line {number}: required field "{where}" is missing'
        return Unusable(number, custom_id, "missing_required_parameter", message, where)
    if kind == "extra_forbidden":
        message = f'line {number}: unknown field "{where}": remove it, or put it into "body"'
        return Unusable(number, custom_id, "unknown_parameter", message, where)
    message = f'line {number}: "{where}": {detail["msg"]}' if where else f"line {number} must be a JSON object"
    return Unusable(number, custom_id, f"invalid_{where}" if where == "method" else "invalid_request", message, where)


def custom_id_of(data: bytes | None) -> str | None:
    """The line's `custom_id`, if it has a readable one."""
    try:
        found = json.loads(data or b"")["custom_id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    usable = isinstance(found, str) and 1 <= len(found) <= 512 and found.encode(errors="ignore").decode() == found
    return found if usable else None


def digest(custom_id: str) -> bytes:
    """16 bytes that stand for a `custom_id`, so that those of a long file stay small in memory."""
    return hashlib.blake2b(custom_id.encode(), digest_size=16).digest()


def response_line(job: Job, request: Request, prompt_id: str, result: Result) -> bytes:
    """The result line of a request that was answered, or refused with a status."""
    response = {"status_code": result.status_code, "request_id": prompt_id, "body": result.body}
    return _line(job, request.number, request.custom_id, response, None)


def error_line(job: Job, wrong: Unusable) -> bytes:
    """The result line of a line without a response."""
    error = {"code": wrong.code, "message": wrong.message, "param": wrong.param, "line": wrong.number}
    return _line(job, wrong.number, wrong.custom_id, None, error)


def _line(job: Job, number: int, custom_id: str | None, response: object, error: object) -> bytes:
    body = {
        "id": f"batch_req_{job.id.removeprefix('batch_')}_{number}",
        "custom_id": custom_id,
        "response": response,
        "error": error,
    }
    return json.dumps(body).encode() + b"\n"


def done_by(line: bytes) -> tuple[int, int, int] | None:
    """Of a result line: the number of its input line, and tokens read and written. None: it is damaged."""
    try:
        body = json.loads(line)
        number = int(body["id"].rpartition("_")[2])
        usage = ((body["response"] or {}).get("body") or {}).get("usage") or {}
        return number, int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
