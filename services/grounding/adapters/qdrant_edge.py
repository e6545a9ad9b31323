"""The embedded index: Qdrant Edge, the server's own engine in this process, persistent in one folder.

One folder belongs to one process at a time. Calls block for about a millisecond and run in a thread.
"""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import qdrant_edge as qe

from libs.bus import Retryable
from schemas.documents import DocumentIndexed
from services.grounding.adapters import points
from services.grounding.adapters.points import DENSE, SPARSE, Bm25Encoder
from services.grounding.domain.indexing import Head
from services.grounding.domain.retrieval import Hit, Search

_OPTIMISE_EVERY_CHUNKS = 20_000
_ROOM_BYTES = 64 * 1024 * 1024
"""The files are mapped: a write for which the disk has no room is no error, it ends the process (SIGBUS)."""


class QdrantEdgeIndex:
    """An async context manager: the folder is opened on entry and closed on exit."""

    def __init__(self, folder: Path, dimension: int, bm25: Bm25Encoder) -> None:
        self._folder = folder
        self._dimension = dimension
        self._bm25 = bm25
        self._shard: Any = None
        self._written = 0

    async def __aenter__(self) -> Self:
        self._shard = await asyncio.to_thread(_open, self._folder, self._dimension)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._shard.flush()
        self._shard.close()

    async def write(self, part: DocumentIndexed) -> None:
        await asyncio.to_thread(self._write, part)
        self._written += len(part.chunks)
        if self._written >= _OPTIMISE_EVERY_CHUNKS:
            self._written = 0
            await asyncio.to_thread(self._shard.optimize)

    def _write(self, part: DocumentIndexed) -> None:
        if part.chunks:
            self._update(qe.UpdateOperation.upsert_points([self._point(part, chunk) for chunk in part.chunks]))
        if part.deleted or part.part == part.parts - 1:
            self._update(qe.UpdateOperation.delete_points_by_filter(_outdated(part)))
            head = qe.Point(points.head_id(part.tenant, part.document_id), {}, points.head_payload(part))
            self._update(qe.UpdateOperation.upsert_points([head]))

    def _point(self, part: DocumentIndexed, chunk: Any) -> Any:
        sparse = self._bm25.document(part, chunk)
        vectors: Any = {
            DENSE: points.dense_vector(chunk),
            SPARSE: qe.SparseVector(list(sparse.indices), list(sparse.values)),
        }
        return qe.Point(points.chunk_id(part, chunk), vectors, points.chunk_payload(part, chunk))

    def _update(self, operation: Any) -> None:
        if (free := shutil.disk_usage(self._folder).free) < _ROOM_BYTES:
            raise Retryable(
                f"{self._folder}: {free} bytes are left on the disk, writing needs {_ROOM_BYTES}; make room"
            )
        try:
            self._shard.update(operation)
        except Exception as error:
            # The binding knows one kind of error; a full disk is the likely one.
            raise Retryable(f"the embedded index in {self._folder} cannot write: {error}") from error

    async def head(self, tenant: str, document_id: str) -> Head | None:
        found = await asyncio.to_thread(
            lambda: self._shard.retrieve([points.head_id(tenant, document_id)], True, False)
        )
        return points.head_from(found[0].payload) if found else None

    async def search(self, search: Search) -> list[Hit]:
        return await asyncio.to_thread(self._search, search)

    def _search(self, search: Search) -> list[Hit]:
        asked = self._bm25.query(search.text)
        found = self._shard.query(_request(search, asked))
        return [points.hit_from(p.payload, p.vector[DENSE], p.vector[SPARSE].indices, search, asked) for p in found]

    def positions(self) -> Mapping[int, int]:
        request = qe.ScrollRequest(limit=10_000, filter=_is("kind", "position"), with_payload=True)
        found, _ = self._shard.scroll(request)
        return {p.payload["partition"]: p.payload["offset"] for p in found}

    async def reached(self, partition: int, offset: int) -> None:
        payload = {points.KIND: "position", "partition": partition, "offset": offset}
        point = qe.Point(points.position_id(partition), {}, payload)
        await asyncio.to_thread(self._update, qe.UpdateOperation.upsert_points([point]))


def _open(folder: Path, dimension: int) -> Any:
    config = qe.EdgeConfig(
        vectors={DENSE: qe.EdgeVectorParams(size=dimension, distance=qe.Distance.Cosine)},
        sparse_vectors={SPARSE: qe.EdgeSparseVectorParams(modifier=qe.Modifier.Idf)},
    )
    if folder.is_dir() and any(folder.iterdir()):
        return qe.EdgeShard.load(str(folder), config)
    folder.mkdir(parents=True, exist_ok=True)
    shard = qe.EdgeShard.create(str(folder), config)
    for name in points.INDEXED_FIELDS:
        parameters = qe.KeywordIndexParams(is_tenant=name == points.TENANT)
        shard.update(qe.UpdateOperation.create_field_index(name, parameters))
    return shard


def _request(search: Search, asked: points.Sparse) -> Any:
    tenant = _match(points.TENANT, search.tenant)
    where = qe.Filter(must=[tenant, *_in_collections(search)])
    limit = max(search.limit * points.CANDIDATES_PER_RESULT, points.MIN_CANDIDATES)
    dense = qe.Query.Nearest(search.vector.tolist(), using=DENSE)
    prefetches = [qe.Prefetch(limit=limit, query=dense, filter=where)]
    if asked.indices:
        terms = qe.Query.Nearest(qe.SparseVector(list(asked.indices), list(asked.values)), using=SPARSE)
        # A tenant's ranking must not depend on other tenants' documents.
        corpus = qe.SearchParams(idf=qe.IdfParams(corpus=qe.Filter(must=[tenant])))
        prefetches.append(qe.Prefetch(limit=limit, query=terms, filter=where, params=corpus))
    fusion: Any = qe.Fusion.Rrf(k=points.RRF_K)
    return qe.QueryRequest(
        limit=search.limit,
        prefetches=prefetches,
        query=fusion,
        with_payload=True,
        with_vector=[DENSE, SPARSE],
    )


def _match(name: str, value: str) -> Any:
    return qe.FieldCondition(key=name, match=qe.MatchValue(value))


def _is(name: str, value: str) -> Any:
    return qe.Filter(must=[_match(name, value)])


def _in_collections(search: Search) -> list[Any]:
    if search.collections is None:
        return []
    return [qe.FieldCondition(key=points.COLLECTION, match=qe.MatchAny(list(search.collections)))]


def _outdated(part: DocumentIndexed) -> Any:
    """Chunks of the document that are not of this version; all of them if it is deleted."""
    must = [_match(points.TENANT, part.tenant), _match(points.DOCUMENT, part.document_id), _match(points.KIND, "chunk")]
    return qe.Filter(must=must, must_not=[] if part.deleted else [_match(points.VERSION, part.version)])
