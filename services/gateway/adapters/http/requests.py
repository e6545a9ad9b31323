"""What callers may send, as OpenAI names it. Unknown fields are errors; what is not offered is named as such.

Parameters of OpenAI's that have no effect here are taken only with the value that asks for nothing (`n: 1`,
`tools: []`), so that no caller believes in an effect there is none of.
"""

from typing import Annotated, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    StringConstraints,
    Tag,
    model_validator,
)

from schemas.base import Identifier, ResponseFormat
from schemas.documents import MediaType
from schemas.feedback import Consent, FeedbackKind, FeedbackValue
from schemas.prompts import CollectionName, Grounding, TemplateName

Nothing = Annotated[list[JsonValue], Field(max_length=0)] | None


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TextPart(_Request):
    """A text part of a message; parts are joined without anything between them."""

    type: Literal["text"]
    text: str


def _kind(value: object) -> str:
    return "text" if isinstance(value, str) else "parts"


Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[tuple[TextPart, ...], Tag("parts"), Field(min_length=1)],
    Discriminator(_kind),
]


Stop = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Stops = Annotated[
    Annotated[Stop, Tag("text")] | Annotated[tuple[Stop, ...], Tag("parts"), Field(max_length=4)],
    Discriminator(_kind),
]


class ChatMessage(_Request):
    """One message. Fields of OpenAI's own answers that say nothing are let pass, so that those can be sent back."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    refusal: None = None
    annotations: Nothing = None
    audio: None = None
    function_call: None = None
    tool_calls: Nothing = None

    @property
    def text(self) -> str:
        """The content as one string."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(_Request):
    """How the stream ends."""

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None


class TailraceOptions(_Request):
    """What OpenAI has no name for. The official client passes it by `extra_body={"tailrace": {...}}`."""

    prompt_id: Identifier | None = None
    """The caller's own id of the prompt, the idempotency key within its tenant."""
    conversation_id: Identifier | None = None
    """Prompts of one conversation keep their order, and its history is there for grounding."""
    grounding: Grounding | None = None
    template: TemplateName | None = None


Metadata = Annotated[
    dict[Annotated[str, StringConstraints(max_length=64)], Annotated[str, StringConstraints(max_length=512)]],
    Field(max_length=16),
]


class ChatRequest(_Request):
    """`POST /v1/chat/completions`."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    messages: Annotated[tuple[ChatMessage, ...], Field(min_length=1, max_length=1024)]
    max_completion_tokens: int | None = Field(default=None, ge=1, le=2**31 - 1)
    max_tokens: int | None = Field(default=None, ge=1, le=2**31 - 1, json_schema_extra={"deprecated": True})
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    stop: Stops | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: Metadata | None = None
    user: Annotated[str, StringConstraints(max_length=512)] | None = None
    """Taken for compatibility; it is not passed on."""
    tailrace: TailraceOptions | None = None

    n: Literal[1] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    logit_bias: Annotated[dict[str, JsonValue], Field(max_length=0)] | None = None
    logprobs: Literal[False] | None = None
    top_logprobs: None = None
    tools: Nothing = None
    tool_choice: Literal["none"] | None = None
    parallel_tool_calls: bool | None = None
    functions: Nothing = None
    function_call: Literal["none"] | None = None
    modalities: Annotated[tuple[Literal["text"], ...], Field(max_length=1)] | None = None
    audio: None = None
    prediction: None = None
    reasoning_effort: None = None
    verbosity: None = None
    web_search_options: None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    prompt_cache_key: None = None
    safety_identifier: None = None

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if None not in (self.max_tokens, self.max_completion_tokens) and self.max_tokens != self.max_completion_tokens:
            raise ValueError('"max_tokens" is the old name of "max_completion_tokens": send one of the two')
        return self

    @model_validator(mode="after")
    def _the_user_speaks_last(self) -> Self:
        if self.messages[-1].role != "user":
            raise ValueError('the last of "messages" must have the role "user"')
        return self

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError('"stream_options" belongs to a stream: send "stream": true with it, or leave it out')
        return self

    @property
    def limit(self) -> int | None:
        """The most tokens the completion may have."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def wants_usage(self) -> bool:
        """Whether the stream ends with a chunk of usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


NOT_OFFERED = frozenset(
    {
        *("n", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "modalities"),
        *("tools", "tool_choice", "functions", "function_call", "audio", "prediction", "reasoning_effort"),
        *("verbosity", "web_search_options", "store", "service_tier", "prompt_cache_key", "prompt_cache_options"),
        *("prompt_cache_retention", "safety_identifier", "moderation"),
    }
)
"""Parameters of OpenAI's that have no effect here."""


class DocumentRequest(_Request):
    """`POST /v1/documents`. Exactly one of `content` and `content_base64`."""

    document_id: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = None
    """The caller's own; the same id again replaces the document. Left out, one is made."""
    collection: CollectionName = "default"
    title: Annotated[str, StringConstraints(max_length=512)] | None = None
    media_type: MediaType = "text/markdown"
    content: str | None = None
    content_base64: str | None = None
    source_uri: Annotated[str, StringConstraints(max_length=2048)] | None = None
    metadata: Metadata | None = None


class FeedbackRequest(_Request):
    """`POST /v1/feedback`. `value` is what the kind wants: docs/contract.md."""

    feedback_id: Identifier | None = None
    """The caller's own; the same id again changes what was said. Left out, one is made."""
    response_id: Annotated[str, StringConstraints(min_length=1, max_length=160)]
    """Of the answer: `tailrace.response_id`, or the completion's own `id`."""
    kind: FeedbackKind
    value: FeedbackValue
    comment: Annotated[str, StringConstraints(max_length=4096)] | None = None
    subject: Identifier | None = None
    consent: Consent = Consent()
    created_at: AwareDatetime | None = None
    """Left out: now."""


class FilesLast(_Request):
    """How long the files that a batch writes are kept."""

    anchor: Literal["created_at"]
    seconds: int = Field(ge=3600, le=30 * 24 * 3600)


class BatchRequest(_Request):
    """`POST /v1/batches`."""

    input_file_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    endpoint: Literal["/v1/chat/completions"]
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: FilesLast | None = None
