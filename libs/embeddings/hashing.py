"""Signed feature hashing of words (Weinberger et al. 2009): no model, no meaning, microseconds.

For tests and benchmarks of what lies around an embedding model. Texts are near when they share words.
"""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from libs.embeddings.embedder import Vectors

_WORD = re.compile(r"\w+")


class HashingEmbedder:
    """Counts words into `dimension` signed buckets."""

    def __init__(self, dimension: int = 256) -> None:
        self.dimension = dimension
        self.name = f"hashing-{dimension}"
        self.max_tokens = 100_000

    def count(self, text: str) -> int:
        return len(_WORD.findall(text))

    def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in _WORD.findall(text.lower()):
                digest = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
                row[(digest >> 1) % self.dimension] += 1.0 if digest & 1 else -1.0
            # A text without words still needs a direction.
            row[0] += 0.0 if row.any() else 1.0
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors
