"""Weighted phrases over folded text, from the YAML files in `phrases/`.

The score is a noisy-or: 1 - Π(1 - weight) over the phrases found, each counted once. A phrase's patterns are tried
only where one of its needles stands, which is cheap; they use bounded gaps, which keeps them linear.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

_FOLDER = Path(__file__).parent / "phrases"
_GAP = r"(?:\W{1,4}\w{1,24}){0,4}?\W{1,4}"


@dataclass(frozen=True, slots=True)
class Phrase:
    """`weight` (0 to 1) in general, `in_source` in retrieved text. `needles` are plain substrings of folded text."""

    weight: float
    in_source: float
    needles: tuple[str, ...]
    pattern: re.Pattern[str]

    def stands_in(self, folded: str) -> bool:
        """Whether the phrase occurs."""
        for needle in self.needles:  # a loop, not any(): it runs for every phrase over every text
            if needle in folded:
                return self.pattern.search(folded) is not None
        return False


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    means: str
    weight: float = Field(ge=0, le=1)
    in_source: float | None = Field(default=None, ge=0, le=1)
    needles: tuple[str, ...]
    any_of: tuple[str, ...]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    definitions: dict[str, str]
    phrases: tuple[_Entry, ...]


def load_phrases(name: str) -> tuple[Phrase, ...]:
    """The phrases of `phrases/<name>.yaml`. Raises pydantic's ValidationError or re.error for a bad file."""
    file = _File.model_validate(yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
    return tuple(_phrase(entry, file.definitions) for entry in file.phrases)


def _phrase(entry: _Entry, definitions: dict[str, str]) -> Phrase:
    pattern = "|".join(entry.any_of)
    for name, meaning in definitions.items():
        pattern = pattern.replace(f"<{name}>", meaning)
    in_source = entry.weight if entry.in_source is None else entry.in_source
    return Phrase(entry.weight, in_source, entry.needles, re.compile(pattern.replace("~", _GAP)))


def noisy_or(weights: Iterable[float]) -> float:
    """The chance that at least one of independent signals is right."""
    return round(1 - prod(1 - weight for weight in weights), 6)
