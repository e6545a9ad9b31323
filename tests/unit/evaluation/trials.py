"""Turns, outcomes and judged answers of a candidate under trial."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.model_registry import Turn
from schemas.base import Message, ModelUsed, Reason
from schemas.feedback import ExampleRecorded, Judgement
from schemas.responses import ResponseReady, response_id_of
from services.evaluation.domain.canary import Canary

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
OLD, NEW = "old-000000000001", "new-000000000002"


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


NONE = minutes(0)


def plan(**told: Any) -> Canary:
    """Two steps of five conversations and a minute each, unless told otherwise."""
    steps = [{"share": share, "minutes": 1, "conversations": 5} for share in (0.1, 0.5)]
    rules = [{"measure": "refused", "by": 0.2}]
    return Canary.model_validate({"name": "default", "version": 1, "steps": steps, "rules": rules, **told})


def turn(revision: int, share: float, after: timedelta = NONE, **told: Any) -> Turn:
    facts = {
        "revision": revision, "action": "promote", "request_id": f"q-{revision}", "model": NEW, "share": share,
        "champion": OLD, "previous": OLD, "canary": "default", "at": NOON + after,
    }  # fmt: skip
    return Turn.model_validate({**facts, **told})


def outcome(
    prompt: str,
    adapter: str | None,
    after: timedelta = NONE,
    *,
    refused: str | None = None,
    took: float | None = 100.0,
    conversation: str | None = None,
    **told: Any,
) -> ResponseReady:
    """Answered in so many milliseconds, unless it was `refused` with that code."""
    reason = Reason(code=refused, message="no", stage="safety") if refused else None
    facts = {
        "response_id": response_id_of("default", prompt), "prompt_id": prompt, "tenant": "default",
        "conversation_id": conversation or prompt, "status": "refused" if refused else "answered", "reason": reason,
        "model": ModelUsed(name="smol", adapter=adapter), "timings_ms": {} if took is None else {"inference": took},
        "created_at": NOON + after,
    }  # fmt: skip
    return ResponseReady.model_validate({**facts, **told})


def judged(
    prompt: str,
    adapter: str | None,
    judgements: Sequence[Mapping[str, Any]],
    after: timedelta = NONE,
    **told: Any,
) -> ExampleRecorded:
    """An answer and what was said of it."""
    said = [
        Judgement.model_validate({"feedback_id": f"f-{number}", "created_at": NOON, **it})
        for number, it in enumerate(judgements)
    ]
    facts = {
        "response_id": response_id_of("default", prompt), "tenant": "default", "prompt_id": prompt,
        "conversation_id": prompt, "messages": (Message(role="user", content="hi"),), "text": "ho",
        "model": ModelUsed(name="smol", adapter=adapter), "template": "t@1", "policy": "p", "answered_at": NOON + after,
        "judgements": tuple(said),
    }  # fmt: skip
    return ExampleRecorded.model_validate({**facts, **told})


def thumb(up: bool, **told: Any) -> dict[str, Any]:
    return {"kind": "thumb", "value": up, **told}
