"""Any sentence-transformers model, by hub id or folder. Costs about 1 GB a process: torch comes with it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from libs.embeddings.embedder import Vectors


class SentenceTransformerEmbedder:
    """The library does the work; this only fixes what it returns."""

    def __init__(self, model: str, *, device: str | None = None) -> None:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - 1 GB, only for who asked for it

        self._model = SentenceTransformer(model, device=device)
        self.name = Path(model).name if Path(model).is_dir() else model
        self.dimension = int(self._model.get_embedding_dimension() or 0)
        self.max_tokens = int(self._model.max_seq_length or 512)

    def count(self, text: str) -> int:
        return len(self._model.tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        vectors = self._model.encode(
            list(texts), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return np.asarray(vectors, np.float32)
