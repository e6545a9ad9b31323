"""What a generation is asked for and what it yields. Plain values: no torch, picklable, usable from any process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from schemas.base import Lane, Message

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class GenerationRequest:
    """One completion. Temperature 0 is greedy; then `top_p` and `seed` do not matter."""

    messages: Sequence[Message]
    max_tokens: int | None = None
    """New tokens at most; None: the engine's default. The context window bounds it either way."""
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    """None: the engine draws one and names it in the result."""
    repetition_penalty: float = 1.0
    """Above 1, tokens already written become less likely (Keskar et al. 2019, arXiv:1909.05858), so that a small model
    does not go round in circles. The prompt's own tokens are left alone: answers quote their sources."""
    stop: tuple[str, ...] = ()
    """The text ends before the first of these; they are never part of it."""
    json_schema: Mapping[str, Any] | None = None
    """Restrict the output to JSON of this schema; `{"type": "object"}` for any object."""
    lane: Lane = Lane.REAL_TIME
    model: str | None = None
    """One of the engine's models; None: its default."""
    adapter: str | None = None
    """One that the engine has loaded; None: the bare model."""


@dataclass(frozen=True)
class Delta:
    """Text that follows what was yielded before. Whole characters, never part of a stop string."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The end of a generation. `seed` is None for greedy ones."""

    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    seed: int | None = None


class PromptTooLong(ValueError):  # noqa: N818 - named after what is wrong
    """The prompt leaves no room in the model's context window."""


class UnknownAdapter(ValueError):  # noqa: N818
    """No adapter of that name is loaded."""


class UnusableAdapter(ValueError):  # noqa: N818
    """A folder holds no adapter that this model can run with; the text says why."""


class GenerationFailed(RuntimeError):  # noqa: N818
    """This one request failed inside the engine; others go on."""


class EngineDown(RuntimeError):  # noqa: N818
    """The engine is closed or broken; the text says by what."""
