"""The prompt's half of the path: submitted, accepted, grounded, cleared, or refused, failed, repeated, cancelled.

`PromptSubmitted` and `PromptCancelled` are public input: unknown fields are errors, so a typo cannot pass in
silence. The others are written by Tailrace's own services.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints, model_validator

from schemas.base import Event, Identifier, Message, Model, ModelUsed, Parameters, PathEvent, Reason, TenantName

CollectionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
TemplateName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}@[0-9]{1,6}$")]
"""`name@version`, e.g. `answer@1`."""


class Grounding(Model):
    """How to look for sources. `required` refuses (`no_source`) where `auto` would answer without."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["auto", "off", "required"] = "auto"
    collections: tuple[CollectionName, ...] | None = Field(default=None, max_length=32)
    """None: every collection of the tenant."""
    top_k: int | None = Field(default=None, ge=1, le=50)


class PromptSubmitted(Event):
    """An upstream wants an answer. Public input on `prompt-submitted` and `prompt-submitted-batch`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    TYPE: ClassVar[str] = "prompt-submitted"

    prompt_id: Identifier
    tenant: TenantName = "default"
    conversation_id: Identifier | None = None
    messages: tuple[Message, ...] = Field(min_length=1, max_length=1024)
    parameters: Parameters = Parameters()
    grounding: Grounding = Grounding()
    template: TemplateName | None = None
    model: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    stream: bool = False
    deadline: AwareDatetime | None = None
    metadata: dict[
        Annotated[str, StringConstraints(max_length=64)], Annotated[str, StringConstraints(max_length=512)]
    ] = Field(default_factory=dict, max_length=16)

    @property
    def key(self) -> str:
        """The conversation, or the prompt itself where there is none."""
        return self.conversation_id or self.prompt_id

    @model_validator(mode="after")
    def _the_user_speaks_last(self) -> Self:
        if self.messages[-1].role != "user":
            raise ValueError('the last of "messages" must have the role "user"')
        return self


class PromptCancelled(Event):
    """The upstream no longer wants the answer. Public input; frees the engine if it is still at work."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    TYPE: ClassVar[str] = "prompt-cancelled"

    prompt_id: Identifier
    tenant: TenantName = "default"
    conversation_id: Identifier | None = None

    @property
    def key(self) -> str:
        """Same key as the prompt's, so that the same instance hears it."""
        return self.conversation_id or self.prompt_id

    @property
    def identity(self) -> tuple[str, str]:
        """Which prompt is meant."""
        return (self.tenant, self.prompt_id)


class PromptBody(PathEvent):
    """What the upstream asked for, validated: shared by the events before inference."""

    messages: tuple[Message, ...]
    parameters: Parameters = Parameters()
    model: str | None = None
    stream: bool = False
    metadata: dict[str, str] = Field(default_factory=dict)
    prompt_tokens: int = Field(default=0, ge=0)
    """Tokens of `messages` by the default model's tokenizer; an estimate for other models."""


class PromptAccepted(PromptBody):
    """A prompt passed validation. Its text is NFC without control characters. Before the gate: holds clear text."""

    TYPE: ClassVar[str] = "prompt-accepted"

    grounding: Grounding = Grounding()
    template: str | None = None
    fingerprint: str
    """SHA-256 over the request's content: tells a repetition from a conflicting reuse of the id."""


class Source(Model):
    """One numbered source, as an outcome lists it."""

    number: int = Field(ge=1)
    document_id: str
    title: str | None = None
    location: str | None = None
    """Where in the document: a heading path or page, e.g. `Install > Linux` or `page 3`."""
    score: float


class SourceText(Source):
    """A source with the text the template showed to the model, verbatim in one of the messages."""

    text: str


class PromptGrounded(PromptBody):
    """A prompt rendered for the model, with its sources. `messages` is exactly what the model shall see, unmasked."""

    TYPE: ClassVar[str] = "prompt-grounded"

    upstream_messages: tuple[Message, ...]
    """What the upstream itself wrote: provenance for safety."""
    sources: tuple[SourceText, ...] = ()
    sources_required: bool = False
    """The upstream wants no answer without a source: so it is, too, where safety withholds the last one."""
    template: str


class Cleared(Model):
    """Marks of safety's examination, carried to the outcome. Holds no personal data in clear."""

    sources: tuple[Source, ...] = ()
    template: str
    masked: dict[str, int] = Field(default_factory=dict)
    """How many values of each entity type were replaced by placeholders."""
    sealed: str | None = None
    """Base64 libsodium sealed box over the JSON object {placeholder: value}; only post-processing can open it."""
    seal_key_id: str | None = None
    flags: tuple[str, ...] = ()
    """Findings that policy let pass but marked, e.g. `injection:source`."""
    policy: str
    """Name and content hash of the policy that decided."""


class PromptCleared(PromptBody, Cleared):
    """Safety let the prompt pass. The only thing inference reads; only safety may write it."""

    TYPE: ClassVar[str] = "prompt-cleared"


class PromptRefused(PathEvent):
    """A prompt was turned down by validation, grounding or safety. Leads to the outcome `refused`."""

    TYPE: ClassVar[str] = "prompt-refused"

    reason: Reason
    masked: dict[str, int] = Field(default_factory=dict)
    fingerprint: str | None = None
    model: ModelUsed | None = None
    """Whose answer was turned down; None: it did not come to one."""


class PromptFailed(PathEvent):
    """A prompt could not be answered (after retries). Leads to the outcome `failed`."""

    TYPE: ClassVar[str] = "prompt-failed"

    reason: Reason
    fingerprint: str | None = None
    model: ModelUsed | None = None
    """Which one could not, where it was a model."""


class PromptRepeated(PathEvent):
    """A known prompt id came again, from someone who waits on `reply_to`: he gets a copy of the one outcome."""

    TYPE: ClassVar[str] = "prompt-repeated"

    conflict: bool = False
    """The same id came with other content: the copy is an error (`idempotency_conflict`), not the outcome."""
