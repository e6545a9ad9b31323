"""Attempts to override the model's instructions, by weighted phrases in several languages. A first check, not a proof.

Provenance decides how bad a phrase is: a user may well talk about assistants, a retrieved page has no business to
command one. "Ignore my previous e-mail" is ordinary: the object must be the model's instructions, not the user's own.
Source of the categories: OWASP Top 10 for LLM applications 2025, LLM01 and LLM07.
"""

import re
from typing import Literal

from libs.content_safety._disguises import readings, squeezed
from libs.content_safety._phrases import load_phrases, noisy_or

Provenance = Literal["user", "system", "history", "source"]
"""Who wrote a text: the upstream's user, the upstream's system prompt, earlier turns, the knowledge base."""

_SQUEEZED = re.compile(
    r"(?:ignore|disregard|forget|override)(?:all)?(?:of)?(?:the|your|any)?(?:previous|prior|above|earlier|system)?"
    r"(?:instructions?|prompts?|rules|guidelines)"
    r"|(?:reveal|show|print)(?:me)?(?:the|your)?systemprompt|doanythingnow|jailbreak"
)
_SQUEEZED_WEIGHT = 0.9


class PhraseInjectionDetector:
    """Judges how much a text tries to override the model's instructions."""

    def __init__(self) -> None:
        self._phrases = load_phrases("injection")

    def score(self, text: str, provenance: Provenance) -> float:
        """From 0 to 1: the worst of the text's readings."""
        return max(self._score(reading, in_source=provenance == "source") for reading in readings(text))

    def _score(self, reading: str, *, in_source: bool) -> float:
        weights = [(p.in_source if in_source else p.weight) for p in self._phrases if p.stands_in(reading)]
        if (drawn := squeezed(reading)) and _SQUEEZED.search(drawn):
            weights.append(_SQUEEZED_WEIGHT)
        return noisy_or(weights)
