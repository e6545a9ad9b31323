"""What the simulated users ask, and how they want to be answered."""

import random
from pathlib import Path

FOLDER = Path(__file__).parent
PREFERRED = "In short: "
"""What they want an answer to begin with."""
PARAMETERS = {"max_completion_tokens": 20, "temperature": 0.0}
_DEEDS = ("clean", "repair", "store", "choose", "paint", "move", "dry", "sharpen", "wash", "sell")
_THINGS = ("a kettle", "a bicycle", "a wool coat", "a kitchen knife", "an old chair", "a tent", "a guitar", "a mirror")
LEARNED_FROM = 56
ASKED_AFTER = 6


def questions() -> list[str]:
    """Different ones, the same in each tour."""
    found = [f"How do I {deed} {thing}?" for thing in _THINGS for deed in _DEEDS]
    random.Random(7).shuffle(found)  # noqa: S311 - an order, no secret
    return found


def preferred(text: str) -> str:
    """The same answer as they want it."""
    return f"{PREFERRED}{text[:1].lower()}{text[1:]}"
