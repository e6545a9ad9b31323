"""The knowledge base of an examination: passages with their vectors, and which of them a question finds."""

import base64
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from libs.embeddings import HASHING, Embedder, Vectors, create_embedder


class Passage(BaseModel):
    """A line of `knowledge.jsonl`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    document_id: str
    title: str
    ordinal: int
    text: str
    vector: str
    """Base64 of little-endian float16."""
    embedding_model: str


@dataclass(frozen=True)
class Knowledge:
    """Passages of one embedding model; `vectors`: [passages, dimension], rows of length 1."""

    passages: tuple[Passage, ...]
    vectors: Vectors
    model: str

    @property
    def documents(self) -> int:
        """How many there are passages of."""
        return len({it.document_id for it in self.passages})

    def found(self, questions: Vectors, most: int) -> list[list[int]]:
        """Places of the passages nearest to each question ([n, dimension]), the nearest first."""
        order = np.argsort(-(questions @ self.vectors.T), axis=1, kind="stable")
        places: list[list[int]] = order[:, :most].tolist()
        return places

    def misleading(self, place: int, terms: Sequence[str]) -> int | None:
        """The passage of another document that is nearest to this one, and holds none of the terms."""
        own = self.passages[place].document_id
        for other in np.argsort(-(self.vectors @ self.vectors[place]), kind="stable").tolist():
            passage = self.passages[other]
            if passage.document_id != own and not any(it.lower() in passage.text.lower() for it in terms):
                return int(other)
        return None


def read_knowledge(file: Path) -> Knowledge | None:
    """Those of the embedding model that most of them have; None: there are none."""
    if not file.exists():
        return None
    told = [Passage.model_validate(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines() if line]
    if not told:
        return None
    model, _ = min(Counter(it.embedding_model for it in told).items(), key=lambda it: (-it[1], it[0]))
    kept = tuple(it for it in told if it.embedding_model == model)
    vectors = np.stack([np.frombuffer(base64.b64decode(it.vector), "<f2").astype(np.float32) for it in kept])
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-9))
    return Knowledge(kept, vectors, model)


def embedder_of(model: str, threads: int | None) -> Embedder:
    """The model that the vectors are of. Raises OSError or ImportError where it is not here."""
    return create_embedder(HASHING if model.startswith(HASHING) else model, threads=threads)
