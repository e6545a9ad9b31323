"""What the Qdrant adapters share: ids, payloads, sparse vectors, and how a point becomes a hit.

Ids are derived from the document, so that a write done twice changes nothing. A document's head, and how far into
the log the index has come, are points without vectors: no search finds them.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.documents import DocumentIndexed, IndexedChunk
from services.grounding.domain.indexing import Head
from services.grounding.domain.retrieval import Hit, Search
from services.grounding.domain.vectors import unpack

DENSE, SPARSE = "dense", "bm25"
TENANT, COLLECTION, DOCUMENT, VERSION, KIND = "tenant", "collection", "document", "version", "kind"
INDEXED_FIELDS = (TENANT, COLLECTION, DOCUMENT, VERSION, KIND)
RRF_K = 60
CANDIDATES_PER_RESULT = 4
MIN_CANDIDATES = 32
_NAMESPACE = uuid.UUID("6d5a4a3e-3f0b-5b0e-9b52-2f6c1d9c7e11")


@dataclass(frozen=True, slots=True)
class Sparse:
    """A BM25 vector: term hashes and their weights."""

    indices: Sequence[int]
    values: Sequence[float]


class Bm25Encoder:
    """Term weights by Qdrant's own BM25 model (stems, stop words, term saturation); the index adds the IDF."""

    def __init__(self, language: str = "english", average_length: float = 120) -> None:
        from qdrant_edge import Bm25, Bm25Config  # noqa: PLC0415 - a native library, loaded by who indexes

        try:
            self._model = Bm25(Bm25Config(language=language, avg_len=average_length))
        except ValueError as error:
            raise ValueError(f"BM25 language {language!r}: {error}") from error

    def document(self, part: DocumentIndexed, chunk: IndexedChunk) -> Sparse:
        """A passage with its title and headings, as it is embedded."""
        found = self._model.embed_document("\n".join(t for t in (part.title, chunk.location, chunk.text) if t))
        return Sparse(found.indices, found.values)

    def query(self, text: str) -> Sparse:
        """Each term once."""
        found = self._model.embed_query(text)
        return Sparse(found.indices, found.values)


def chunk_id(part: DocumentIndexed, chunk: IndexedChunk) -> str:
    """The same passage of the same version is the same point."""
    return _id("chunk", part.tenant, part.document_id, part.version, str(chunk.ordinal))


def head_id(tenant: str, document_id: str) -> str:
    """One per document."""
    return _id("head", tenant, document_id)


def position_id(partition: int) -> str:
    """One per partition of the log."""
    return _id("position", str(partition))


def _id(*parts: str) -> str:
    # The unit separator cannot be typed into a tenant's name.
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))


def chunk_payload(part: DocumentIndexed, chunk: IndexedChunk) -> dict[str, Any]:
    """What is filtered by, and what a hit needs."""
    return {
        KIND: "chunk",
        TENANT: part.tenant,
        COLLECTION: part.collection,
        DOCUMENT: part.document_id,
        VERSION: part.version,
        "ordinal": chunk.ordinal,
        "title": part.title,
        "location": chunk.location,
        "text": chunk.text,
    }


def head_payload(part: DocumentIndexed) -> dict[str, Any]:
    """Written with the last part: the version is whole."""
    return {
        KIND: "head",
        TENANT: part.tenant,
        DOCUMENT: part.document_id,
        VERSION: part.version,
        # Under another name than a chunk's, or a search by collection would count heads.
        "head_collection": part.collection,
        "parts": part.parts,
        "embedding_model": part.embedding_model,
        "deleted": part.deleted,
    }


def head_from(payload: Mapping[str, Any]) -> Head:
    """The other way round."""
    return Head(
        payload[VERSION],
        payload["head_collection"],
        payload["parts"],
        payload["embedding_model"],
        payload["deleted"],
    )


def dense_vector(chunk: IndexedChunk) -> list[float]:
    """As Qdrant takes it."""
    values: list[float] = unpack(chunk.vector).tolist()
    return values


def hit_from(
    payload: Mapping[str, Any],
    dense: Sequence[float] | NDArray[np.float32],
    terms: Sequence[int],
    search: Search,
    asked: Sparse,
) -> Hit:
    """A found point with its two absolute measures."""
    return Hit(
        document_id=payload[DOCUMENT],
        version=payload[VERSION],
        ordinal=payload["ordinal"],
        title=payload["title"],
        location=payload["location"],
        text=payload["text"],
        cosine=float(np.asarray(dense, np.float32) @ search.vector),
        overlap=len(set(asked.indices) & set(terms)) / max(len(asked.indices), 1),
    )
