"""Threats, hate and abuse by weighted phrases. A first check: it knows open threats and slurs, not polite hate."""

from libs.content_safety._disguises import readings
from libs.content_safety._phrases import load_phrases, noisy_or


class PhraseToxicityDetector:
    """Judges threats, hate and abuse."""

    def __init__(self) -> None:
        self._phrases = load_phrases("toxicity")

    def score(self, text: str) -> float:
        """From 0 to 1: the worst of the text's readings."""
        return max(noisy_or(p.weight for p in self._phrases if p.stands_in(reading)) for reading in readings(text))
