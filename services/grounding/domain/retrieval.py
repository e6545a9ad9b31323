"""What a search asks and finds, and when a find is good enough to be shown as a source. Knows no index.

An index ranks by reciprocal rank fusion of dense and BM25 search (Cormack et al. 2009), which orders but does not
measure: a rank exists for nonsense too. The score shown is absolute: cosine and share of the question's words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.base import Message

_FOLLOW_UP_WORDS = 6
_LEXICAL_WEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class Search:
    """A question to an index. `collections` None: all of the tenant's."""

    vector: NDArray[np.float32]
    text: str
    tenant: str
    collections: tuple[str, ...] | None = None
    limit: int = 8


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage an index found. `cosine` with the question; `overlap`: share of the question's words in it, 0 to 1."""

    document_id: str
    version: str
    ordinal: int
    title: str | None
    location: str | None
    text: str
    cosine: float
    overlap: float

    @property
    def score(self) -> float:
        """Relevance from 0 to 1, comparable between questions."""
        blended = (1 - _LEXICAL_WEIGHT) * max(self.cosine, 0.0) + _LEXICAL_WEIGHT * self.overlap
        return round(min(blended, 1.0), 4)


def good(hits: Sequence[Hit], min_score: float, top_k: int) -> list[Hit]:
    """At most `top_k` hits worth showing, in the index's order, each text once."""
    kept: dict[str, Hit] = {}
    for hit in hits:
        if hit.score >= min_score:
            kept.setdefault(hit.text, hit)
    return list(kept.values())[:top_k]


def question_of(messages: Sequence[Message]) -> str:
    """What to search for: the user's last words, with the turn before where they are too few to stand alone."""
    asked = [message.content for message in messages if message.role == "user"]
    if len(asked) > 1 and len(asked[-1].split()) < _FOLLOW_UP_WORDS:
        return f"{asked[-2]}\n{asked[-1]}"
    return asked[-1] if asked else ""
