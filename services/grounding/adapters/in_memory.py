"""An index in memory: exact search over everything, for tests and tiny knowledge bases. It ends with the process."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.documents import DocumentIndexed, IndexedChunk
from services.grounding.adapters.points import RRF_K, Bm25Encoder, Sparse, chunk_payload, hit_from
from services.grounding.domain.indexing import Head, head_of
from services.grounding.domain.retrieval import Hit, Search
from services.grounding.domain.vectors import unpack

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Entry:
    part: DocumentIndexed
    chunk: IndexedChunk
    dense: NDArray[np.float32]
    terms: Mapping[int, float]


class InMemoryIndex:
    """Holds every chunk and its vectors by document."""

    def __init__(self, bm25: Bm25Encoder) -> None:
        self._bm25 = bm25
        self._documents: dict[_Key, dict[tuple[str, int], _Entry]] = {}
        self._heads: dict[_Key, Head] = {}
        self._positions: dict[int, int] = {}

    async def write(self, part: DocumentIndexed) -> None:
        key = (part.tenant, part.document_id)
        entries = self._documents.setdefault(key, {})
        entries.update({(part.version, chunk.ordinal): self._entry(part, chunk) for chunk in part.chunks})
        if part.deleted or part.part == part.parts - 1:
            kept = {} if part.deleted else {k: e for k, e in entries.items() if k[0] == part.version}
            self._documents[key] = kept
            self._heads[key] = head_of(part)

    def _entry(self, part: DocumentIndexed, chunk: IndexedChunk) -> _Entry:
        sparse = self._bm25.document(part, chunk)
        return _Entry(part, chunk, unpack(chunk.vector), dict(zip(sparse.indices, sparse.values, strict=True)))

    async def head(self, tenant: str, document_id: str) -> Head | None:
        return self._heads.get((tenant, document_id))

    async def search(self, search: Search) -> list[Hit]:
        corpus = [e for (tenant, _), es in self._documents.items() if tenant == search.tenant for e in es.values()]
        wanted = [e for e in corpus if search.collections is None or e.part.collection in search.collections]
        asked = self._bm25.query(search.text)
        dense = sorted(wanted, key=lambda e: -float(e.dense @ search.vector))
        weights = _bm25_scores(wanted, asked, corpus)
        sparse = sorted((e for e in wanted if weights[id(e)] > 0), key=lambda e: -weights[id(e)])
        fused: dict[int, float] = {}
        for ranking in (dense, sparse):
            for rank, entry in enumerate(ranking):
                fused[id(entry)] = fused.get(id(entry), 0.0) + 1 / (RRF_K + rank)
        best = sorted(wanted, key=lambda e: -fused[id(e)])[: search.limit]
        return [hit_from(chunk_payload(e.part, e.chunk), e.dense, [*e.terms], search, asked) for e in best]

    def positions(self) -> Mapping[int, int]:
        return dict(self._positions)

    async def reached(self, partition: int, offset: int) -> None:
        self._positions[partition] = offset


def _bm25_scores(entries: list[_Entry], asked: Sparse, corpus: list[_Entry]) -> dict[int, float]:
    """By Qdrant's IDF over the tenant's passages."""
    count = len(corpus)
    idf = {}
    for term in asked.indices:
        holders = sum(term in e.terms for e in corpus)
        idf[term] = math.log((count - holders + 0.5) / (holders + 0.5) + 1)
    return {id(e): sum(idf[term] * e.terms.get(term, 0.0) for term in asked.indices) for e in entries}
