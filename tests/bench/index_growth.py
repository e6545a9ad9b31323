"""The embedded index at a size: `python -m tests.bench.index_growth FOLDER CHUNKS QUERIES`, a process of its own.

Vectors are random unit vectors and words follow Zipf's law, as in real text. Prints one JSON line. What is measured is
the search (dense and BM25, fused), not the embedding of the question.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.documents import DocumentIndexed, IndexedChunk
from services.grounding.adapters.points import Bm25Encoder
from services.grounding.adapters.qdrant_edge import QdrantEdgeIndex
from services.grounding.domain.retrieval import Search
from services.grounding.domain.vectors import pack
from tests.bench.frame import percentiles

DIMENSION = 384
_CHUNKS_OF_A_DOCUMENT = 100
_WORDS_OF_A_CHUNK = 80
_WORDS_OF_A_QUESTION = 7
_VOCABULARY = 20_000
_LIMIT = 8


class Texts:
    """Seeded words and vectors."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        weights = 1 / np.arange(1, _VOCABULARY + 1)
        self._odds = np.cumsum(weights / weights.sum())

    def text(self, words: int) -> str:
        """Words by their rank, the frequent ones often."""
        ranks = np.searchsorted(self._odds, self._random.random(words))
        return " ".join(f"word{rank}" for rank in ranks)

    def vector(self) -> NDArray[np.float32]:
        """[DIMENSION], of length 1."""
        found = self._random.standard_normal(DIMENSION).astype(np.float32)
        return np.asarray(found / np.linalg.norm(found), np.float32)


def documents(texts: Texts, chunks: int) -> Iterator[DocumentIndexed]:
    """So many chunks in all, a hundred in a document."""
    for first in range(0, chunks, _CHUNKS_OF_A_DOCUMENT):
        count = min(_CHUNKS_OF_A_DOCUMENT, chunks - first)
        passages = (
            IndexedChunk(ordinal=n, text=texts.text(_WORDS_OF_A_CHUNK), vector=pack(texts.vector()))
            for n in range(count)
        )
        yield DocumentIndexed(
            document_id=f"document-{first}", tenant="default", collection="default", version="1", part=0, parts=1,
            embedding_model="random", chunks=tuple(passages),
        )  # fmt: skip


async def measure(folder: Path, chunks: int, queries: int) -> dict[str, Any]:
    """Seconds of building, milliseconds of searching, and what it occupies in MB."""
    texts, before, building = Texts(seed=7), _peak(), 0.0
    async with QdrantEdgeIndex(folder, DIMENSION, Bm25Encoder()) as index:
        for document in documents(texts, chunks):
            began = time.perf_counter()
            await index.write(document)
            building += time.perf_counter() - began
        searches = [
            Search(texts.vector(), texts.text(_WORDS_OF_A_QUESTION), "default", None, _LIMIT) for _ in range(queries)
        ]
        await index.search(searches[0])
        taken = []
        for search in searches:
            began = time.perf_counter()
            found = await index.search(search)
            taken.append((time.perf_counter() - began) * 1000)
            assert len(found) == _LIMIT
    disk = sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
    return {
        "chunks": chunks, "build_s": building, **percentiles(taken), "mean": sum(taken) / len(taken),
        "memory_mb": _peak() - before, "disk_mb": disk / 2**20,
    }  # fmt: skip


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))))
