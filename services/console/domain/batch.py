"""A batch file's lines: each one a `prompt-submitted` body, and each one gets a result, whatever is wrong with it."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from libs.bus import MAX_EVENT_BYTES, encode, explain
from schemas.base import Reason, ReasonCode
from schemas.prompts import PromptSubmitted
from schemas.responses import ResponseReady

Digest = bytes
"""16 bytes that stand for (tenant, prompt_id), so that a long file's ids stay small in memory."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that can be asked. Numbers start at 1."""

    number: int
    prompt: PromptSubmitted

    @property
    def prompt_id(self) -> str:
        """The upstream's own, or the derived one."""
        return self.prompt.prompt_id

    @property
    def identity(self) -> Digest:
        """Which prompt it is."""
        return digest(self.prompt.tenant, self.prompt.prompt_id)

    @property
    def content(self) -> Digest:
        """What it asks: two lines of one id must agree on it."""
        return hashlib.blake2b(encode(self.prompt), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that cannot be asked, with its result."""

    number: int
    prompt_id: str
    code: ReasonCode
    message: str


def digest(tenant: str, prompt_id: str) -> Digest:
    """The identity of a prompt in 16 bytes."""
    return hashlib.blake2b(f"{tenant}\x00{prompt_id}".encode(), digest_size=16).digest()


def read_line(number: int, raw: bytes, label: str = "") -> Line | Refusal:
    """What one line means. Without a `prompt_id` it gets one made of its content, its number and the label."""
    derived = f"line-{number}-{hashlib.sha256(label.encode() + raw.strip()).hexdigest()[:24]}"
    try:
        body = _parsed(raw)
    except ValueError as error:
        return _refusal(number, derived, f"the line is not a JSON object ({error})")
    prompt_id = body.setdefault("prompt_id", derived)
    shown = prompt_id if isinstance(prompt_id, str) and 1 <= len(prompt_id) <= 128 else derived
    try:
        prompt = PromptSubmitted.model_validate(body)
        size = len(encode(prompt))
    except ValidationError as error:
        return _refusal(number, shown, explain(error))
    except ValueError as error:
        return _refusal(number, derived, f"the text cannot be written as UTF-8 ({type(error).__name__})")
    if size > MAX_EVENT_BYTES:
        return _refusal(number, shown, f"the prompt has {size} bytes, the limit is {MAX_EVENT_BYTES}", "too_long")
    return Line(number, prompt)


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at column {error.colno}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if isinstance(body, dict):
        return body
    raise ValueError("it holds something else")


def _refusal(number: int, prompt_id: str, message: str, code: ReasonCode = "invalid_request") -> Refusal:
    return Refusal(number, prompt_id, code, f"line {number}: {message}")


def conflict(number: int, prompt_id: str, first: int) -> Refusal:
    """An id that an earlier line of the file uses for something else."""
    message = f'"prompt_id" stands in line {first} with other content; a new prompt needs a new id'
    return _refusal(number, prompt_id, message, "idempotency_conflict")


def result_of(number: int, outcome: ResponseReady) -> dict[str, Any]:
    """The result line of an outcome."""
    return {"line": number, **outcome.model_dump(mode="json")}


def refused(refusal: Refusal) -> dict[str, Any]:
    """The result line of a line that was not asked."""
    reason = Reason(code=refusal.code, message=refusal.message, stage="console")
    return {
        "line": refusal.number,
        "prompt_id": refusal.prompt_id,
        "status": "refused",
        "text": None,
        "reason": reason.model_dump(),
    }
