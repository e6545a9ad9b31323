"""What callers are sent: OpenAI's completion, its chunks, models and documents, each with Tailrace's own part."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from schemas.base import ModelUsed, Reason
from schemas.prompts import Source
from schemas.responses import ResponseReady

Finish = Literal["stop", "length", "content_filter"]


class Usage(BaseModel):
    """Tokens, as the engine counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class TailraceResult(BaseModel):
    """What the outcome says beyond OpenAI's answer."""

    prompt_id: str
    response_id: str
    conversation_id: str
    status: Literal["answered", "refused", "failed"]
    sources: tuple[Source, ...] = ()
    masked: dict[str, int] = {}
    model: ModelUsed | None = None
    """Also of an answer that was turned down."""
    template: str | None = None
    timings_ms: dict[str, float] = {}
    reason: Reason | None = None
    text: str | None = None
    """Only in a stream whose pieces do not add up to the final text: the final text, whole."""


class AnswerMessage(BaseModel):
    """The model's message."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None


class Choice(BaseModel):
    """The one choice there is."""

    index: int = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: Finish


class ChatCompletion(BaseModel):
    """A whole completion."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Usage
    tailrace: TailraceResult


class Delta(BaseModel):
    """What a chunk adds."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None


class ChunkChoice(BaseModel):
    """The one choice of a chunk."""

    index: int = 0
    delta: Delta
    logprobs: None = None
    finish_reason: Finish | None = None


class ChatCompletionChunk(BaseModel):
    """One event of a stream. `usage` stands only in streams that asked for it; `tailrace` in the chunk that ends it."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: tuple[ChunkChoice, ...]
    usage: Usage | None = None
    tailrace: TailraceResult | None = None


class ModelCard(BaseModel):
    """A model a caller may name."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "tailrace"


class ModelList(BaseModel):
    """`GET /v1/models`."""

    object: Literal["list"] = "list"
    data: tuple[ModelCard, ...]


class DocumentReceipt(BaseModel):
    """The log has the document; it is indexed shortly after. A refusal appears on the topic `document-refused`."""

    id: str
    object: Literal["document"] = "document"
    collection: str
    status: Literal["submitted"] = "submitted"
    deleted: bool = False


def usage_of(outcome: ResponseReady) -> Usage:
    """The outcome's usage in OpenAI's form; zeros where the engine did not run."""
    prompt = outcome.usage.prompt_tokens if outcome.usage else 0
    completion = outcome.usage.completion_tokens if outcome.usage else 0
    return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)


def result_of(outcome: ResponseReady, *, text: str | None = None) -> TailraceResult:
    """Tailrace's part of an answer."""
    return TailraceResult(
        prompt_id=outcome.prompt_id,
        response_id=outcome.response_id,
        conversation_id=outcome.conversation_id,
        status=outcome.status,
        sources=outcome.sources,
        masked=outcome.masked,
        model=outcome.model,
        template=outcome.template,
        timings_ms=outcome.timings_ms,
        reason=outcome.reason,
        text=text,
    )


def finish_of(outcome: ResponseReady) -> Finish:
    """Why the answer ends."""
    return "content_filter" if outcome.status != "answered" else outcome.finish_reason or "stop"


def chunk_json(chunk: ChatCompletionChunk, *, with_usage: bool) -> bytes:
    """A chunk as OpenAI writes it: absent where there is nothing to say, but for what clients look for."""
    shown: dict[str, Any] = {"tailrace": True} if chunk.tailrace is None else {}
    if not with_usage:
        shown["usage"] = True
    deltas = {"choices": {"__all__": {"delta": _absent(chunk)}}} if chunk.choices else {}
    return chunk.model_dump_json(exclude={**shown, **deltas}).encode()


def _absent(chunk: ChatCompletionChunk) -> set[str]:
    delta = chunk.choices[0].delta
    return {name for name in ("role", "content", "refusal") if getattr(delta, name) is None}
