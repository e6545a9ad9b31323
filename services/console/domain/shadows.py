"""Shadows of prompts: what was asked once, asked again with other settings beside history.

A shadow has an id of its own, made of its original's, the run and what it asks: the same run taken up again finds it,
other settings make it another prompt.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from libs.bus import SHADOW_HEADER, Outgoing, Record, Rejected, decode, encode, explain, header, headers_for
from libs.bus.failures import salvage
from libs.bus.records import written_at
from schemas.base import Lane, Shadow
from schemas.prompts import PromptAccepted, PromptSubmitted
from schemas.topics import topic_of, topics_of
from services.console.domain.addresses import Address
from services.console.domain.errors import ConsoleError
from services.console.domain.mending import changed
from services.console.domain.outcomes import Identity

SOURCES = tuple(topic.name for event in (PromptSubmitted, PromptAccepted) for topic in topics_of(event))
"""Topics that hold what was asked."""
_ASK = topic_of(PromptSubmitted, Lane.BATCH).name
_FREE = ("parameters.", "grounding.")


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the shadows ask otherwise. `settings` are PATH=VALUE below `parameters` and `grounding`."""

    template: str | None = None
    model: str | None = None
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for setting in self.settings:
            if "=" not in setting or not setting.startswith(_FREE):
                raise ConsoleError(
                    f'--set "{setting}": write parameters.NAME=VALUE or grounding.NAME=VALUE', exit_code=2
                )


@dataclass(frozen=True, slots=True)
class Original:
    """A prompt of history, and where it lies. `prompt` None: it cannot be read, and `says` why."""

    place: Address
    submitted_at: datetime
    identity: Identity
    """Tenant and prompt id; the place where none can be read."""
    prompt: PromptSubmitted | None
    says: str = ""


def read_original(record: Record) -> Original | None:
    """The prompt of a record; None for a shadow, which is no history."""
    place = Address(record.topic, record.partition, record.offset)
    try:
        if record.topic.startswith(PromptSubmitted.TYPE):
            if header(record, SHADOW_HEADER) is not None:
                return None
            prompt = decode(record, PromptSubmitted)
            return Original(place, written_at(record), (prompt.tenant, prompt.prompt_id), prompt)
        event = decode(record, PromptAccepted)
    except Rejected as rejection:
        found = salvage(record) or {"tenant": "", "prompt_id": place}
        identity = (str(found["tenant"]), str(found["prompt_id"]))
        return Original(place, written_at(record), identity, None, str(rejection))
    return None if event.shadow else Original(place, event.submitted_at, event.identity, _submitted(event))


def _submitted(event: PromptAccepted) -> PromptSubmitted:
    kept = {name: getattr(event, name) for name in PromptSubmitted.model_fields if name != "deadline"}
    return PromptSubmitted.model_validate({k: v for k, v in kept.items() if v is not None})


def shadow_of(original: PromptSubmitted, overrides: Overrides, run: str) -> PromptSubmitted:
    """The prompt to ask. Raises ConsoleError where the overrides make no prompt of it."""
    body: dict[str, Any] = json.loads(changed(encode(original), overrides.settings, ()) or b"{}")
    body |= {"template": overrides.template or original.template, "model": overrides.model or original.model}
    body |= {"conversation_id": None, "deadline": None, "stream": False}
    body["prompt_id"] = _id(original, body, run)
    try:
        return PromptSubmitted.model_validate(body)
    except ValidationError as error:
        raise ConsoleError(explain(error)) from None


def _id(original: PromptSubmitted, body: dict[str, Any], run: str) -> str:
    asked = hashlib.sha256(json.dumps(body, sort_keys=True).encode(errors="replace")).hexdigest()
    return f"{original.prompt_id[:86]}~{run}~{asked[:8]}"


def outgoing(shadow: PromptSubmitted, original: Original, run: str) -> Outgoing:
    """The record to write: in the batch lane, on the original's partition, where its conversation is known."""
    assert original.prompt is not None
    mark = Shadow(
        run=run,
        prompt_id=original.prompt.prompt_id,
        conversation_id=original.prompt.key,
        submitted_at=original.submitted_at,
    )
    event_id = f"{shadow.tenant}/{shadow.prompt_id}"
    headers = (*headers_for(shadow, event_id, "console"), (SHADOW_HEADER, mark.model_dump_json().encode()))
    return Outgoing(_ASK, shadow.key.encode(), encode(shadow), headers, original.place.partition)
