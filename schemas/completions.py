"""What the model wrote: whole (generated, cleared) and, while it writes, in screened sentence windows (chunks).

All of it lies past the gate: placeholders stand where personal data stood.
"""

from typing import ClassVar, Literal

from pydantic import Field

from schemas.base import ModelUsed, Parameters, PathEvent, Usage
from schemas.prompts import Cleared

FinishReason = Literal["stop", "length"]


class Completion(PathEvent, Cleared):
    """A whole completion with all that post-processing needs to make an outcome of it."""

    text: str
    finish_reason: FinishReason
    usage: Usage
    model: ModelUsed
    parameters: Parameters = Parameters()
    cached: bool = False
    """The exact cache answered; the engine did not run."""


class CompletionGenerated(Completion):
    """The engine (or its exact cache) has answered. Not yet examined."""

    TYPE: ClassVar[str] = "completion-generated"


class CompletionCleared(Completion):
    """Safety let the completion pass, perhaps with more placeholders in it."""

    TYPE: ClassVar[str] = "completion-cleared"


class Chunk(PathEvent):
    """One sentence window of a completion under way. Indexes start at 0 and have no gaps."""

    index: int = Field(ge=0)
    text: str
    sealed: str | None = None
    seal_key_id: str | None = None
    policy: str


class CompletionChunk(Chunk):
    """Text the engine has just written, with what stood before it, so that safety can judge it without memory."""

    TYPE: ClassVar[str] = "completion-chunk"

    preceding: str = Field(default="", max_length=256)
    masked: dict[str, int] = Field(default_factory=dict)


class CompletionChunkCleared(Chunk):
    """A screened window. A window that safety withholds is never written: the gap stops the stream."""

    TYPE: ClassVar[str] = "completion-chunk-cleared"
