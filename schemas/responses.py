"""Outcomes and replies: what upstreams read. Only post-processing writes them."""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import NAMESPACE_URL, uuid5

from pydantic import Field, JsonValue

from schemas.base import Event, Identifier, ModelUsed, Reason, Shadow, TenantName, Usage
from schemas.completions import FinishReason
from schemas.prompts import Source

_RESPONSES = uuid5(NAMESPACE_URL, "https://tailrace.dev/responses")


def response_id_of(tenant: str, prompt_id: str) -> str:
    """The same prompt always has the same response id: `resp_` and 32 hex digits."""
    return f"resp_{uuid5(_RESPONSES, f'{tenant}/{prompt_id}').hex}"


class ResponseReady(Event):
    """The one outcome of a prompt. Public output on `response-ready` and `response-ready-batch`."""

    TYPE: ClassVar[str] = "response-ready"

    response_id: str
    prompt_id: Identifier
    tenant: TenantName
    conversation_id: Identifier
    status: Literal["answered", "refused", "failed"]
    text: str | None = None
    output: JsonValue = None
    finish_reason: FinishReason | None = None
    reason: Reason | None = None
    sources: tuple[Source, ...] = ()
    masked: dict[str, int] = Field(default_factory=dict)
    model: ModelUsed | None = None
    template: str | None = None
    usage: Usage | None = None
    cached: bool = False
    """The exact cache answered: no model ran."""
    timings_ms: dict[str, float] = Field(default_factory=dict)
    created_at: datetime

    @property
    def key(self) -> str:
        """Same key as the prompt's."""
        return self.conversation_id

    @property
    def identity(self) -> tuple[str, str]:
        """The idempotency key of the prompt it answers."""
        return (self.tenant, self.prompt_id)


class ResponseShadow(ResponseReady):
    """The one outcome of a shadow, instead of a response-ready: no upstream reads it, no conversation holds it."""

    TYPE: ClassVar[str] = "response-shadow"

    shadow: Shadow


class Reply(Event):
    """To one waiting caller, on its own partition: screened text under way, or a copy of the outcome."""

    TYPE: ClassVar[str] = "reply"

    kind: Literal["text", "outcome"]
    prompt_id: Identifier
    tenant: TenantName
    index: int | None = Field(default=None, ge=0)
    """Of a text: gapless from 0. A reader that sees a gap waits for the outcome."""
    text: str | None = None
    outcome: ResponseReady | None = None

    @property
    def key(self) -> str:
        """One caller's replies stay in order."""
        return self.prompt_id

    @property
    def identity(self) -> tuple[str, str]:
        """Which prompt this answers."""
        return (self.tenant, self.prompt_id)
