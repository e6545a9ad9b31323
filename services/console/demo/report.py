"""What the tour saw, as data: `--json` prints it, `pages` makes it readable. Times in milliseconds or as named."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from services.console.demo.loop.report import Loop
from services.console.domain.dead_letters import DeadLetter
from services.console.domain.trace import Trace


class _Page(BaseModel):
    model_config = ConfigDict(frozen=True)


class Asked(_Page):
    """A question and what came back, whichever way it went."""

    prompt_id: str
    via: str
    question: str
    status: str
    text: str | None = None
    reason: str | None = None
    sources: tuple[dict[str, Any], ...] = ()
    masked: dict[str, int] = {}
    timings_ms: dict[str, float] = {}
    first_text_ms: float | None = None
    answer_ms: float


class Indexed(_Page):
    """The knowledge base."""

    documents: int
    refused: dict[str, str]
    """Document ids, with the reasons."""
    passages: int
    seconds: float


class Private(_Page):
    """A prompt with personal data."""

    asked: Asked
    seen_by_the_model: str
    """The user's message on `prompt-cleared`."""
    values_past_the_gate: int
    """Records past the gate and before the outcome that hold one of the values in clear: none may."""
    restored: bool
    """Whether the outcome holds the user's own values again."""


class Malformed(_Page):
    """A message that is no prompt."""

    sent: str
    asked: Asked
    letter: DeadLetter


class Flood(_Page):
    """A batch, and the real-time questions asked beside it."""

    lines: int
    counts: dict[str, int]
    seconds: float
    before: Asked
    """A real-time question just before the batch."""
    beside: tuple[Asked, ...]


class Memory(_Page):
    """Resident memory in bytes."""

    idle: dict[str, int]
    busy: dict[str, int]


class Report(_Page):
    """The whole tour."""

    engine: str
    start_seconds: float
    indexed: Indexed
    questions: tuple[Asked, ...]
    private: Private
    injection: Asked
    malformed: Malformed
    flood: Flood
    way: Trace
    """One question's way over the topics."""
    memory: Memory
    loop: Loop | None = None
    """None: it was left out."""
    seconds: float
