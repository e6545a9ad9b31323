"""The port: what an embedding model is to the rest of Tailrace. Knows no library."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Maps texts to points on the unit sphere; the dot product of two is their cosine similarity."""

    @property
    def name(self) -> str:
        """Which model this is; vectors of different names must not be compared."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def max_tokens(self) -> int:
        """What lies beyond so many tokens of a text is not read."""

    def count(self, text: str) -> int:
        """Tokens of the text by the model's own tokenizer, without special tokens and not truncated."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Returns [n, dimension] float32 with rows of length 1. CPU-bound: call it from a thread. Thread-safe."""
