"""The shared index: a Qdrant server through its own client. One collection per embedding model, all tenants in it."""

import functools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ParamSpec, Self, TypeVar

import httpx
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from libs.bus import Retryable
from schemas.documents import DocumentIndexed, IndexedChunk
from services.grounding.adapters import points
from services.grounding.adapters.points import DENSE, SPARSE, Bm25Encoder
from services.grounding.domain.indexing import Head
from services.grounding.domain.retrieval import Hit, Search

P = ParamSpec("P")
R = TypeVar("R")


def _away_is_retryable(call: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    @functools.wraps(call)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await call(*args, **kwargs)
        except (ResponseHandlingException, UnexpectedResponse, httpx.HTTPError, OSError) as error:
            raise Retryable(f"the Qdrant server does not answer as it should ({type(error).__name__})") from error

    return wrapped


class QdrantServerIndex:
    """An async context manager: the collection is made on entry if it is not there; the client is closed on exit."""

    def __init__(self, client: AsyncQdrantClient, collection: str, dimension: int, bm25: Bm25Encoder) -> None:
        self._client = client
        self._collection = collection
        self._dimension = dimension
        self._bm25 = bm25
        self._known_positions: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        if not await self._client.collection_exists(self._collection):
            await self._create()
        self._known_positions = await self._read_positions()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def _create(self) -> None:
        await self._client.create_collection(
            self._collection,
            vectors_config={DENSE: models.VectorParams(size=self._dimension, distance=models.Distance.COSINE)},
            sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        )
        for name in points.INDEXED_FIELDS:
            schema = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=name == points.TENANT)
            await self._client.create_payload_index(self._collection, name, schema)

    @_away_is_retryable
    async def write(self, part: DocumentIndexed) -> None:
        if part.chunks:
            await self._upsert([self._point(part, chunk) for chunk in part.chunks])
        if part.deleted or part.part == part.parts - 1:
            selector = models.FilterSelector(filter=_outdated(part))
            await self._client.delete(self._collection, selector, wait=True)
            payload = points.head_payload(part)
            head = models.PointStruct(id=points.head_id(part.tenant, part.document_id), vector={}, payload=payload)
            await self._upsert([head])

    async def _upsert(self, found: list[models.PointStruct]) -> None:
        await self._client.upsert(self._collection, found, wait=True)

    def _point(self, part: DocumentIndexed, chunk: IndexedChunk) -> models.PointStruct:
        sparse = self._bm25.document(part, chunk)
        vectors: dict[str, Any] = {
            DENSE: points.dense_vector(chunk),
            SPARSE: models.SparseVector(indices=list(sparse.indices), values=list(sparse.values)),
        }
        payload = points.chunk_payload(part, chunk)
        return models.PointStruct(id=points.chunk_id(part, chunk), vector=vectors, payload=payload)

    @_away_is_retryable
    async def head(self, tenant: str, document_id: str) -> Head | None:
        found = await self._client.retrieve(self._collection, [points.head_id(tenant, document_id)])
        return points.head_from(found[0].payload or {}) if found else None

    @_away_is_retryable
    async def search(self, search: Search) -> list[Hit]:
        asked = self._bm25.query(search.text)
        answer = await self._client.query_points(
            self._collection,
            prefetch=_prefetches(search, asked),
            query=models.RrfQuery(rrf=models.Rrf(k=points.RRF_K)),
            limit=search.limit,
            with_payload=True,
            with_vectors=[DENSE, SPARSE],
        )
        return [_hit(point, search, asked) for point in answer.points]

    def positions(self) -> Mapping[int, int]:
        return dict(self._known_positions)

    @_away_is_retryable
    async def reached(self, partition: int, offset: int) -> None:
        payload = {points.KIND: "position", "partition": partition, "offset": offset}
        await self._upsert([models.PointStruct(id=points.position_id(partition), vector={}, payload=payload)])

    async def _read_positions(self) -> dict[int, int]:
        where = models.Filter(must=[_match(points.KIND, "position")])
        found, _ = await self._client.scroll(self._collection, where, limit=10_000)
        return {p.payload["partition"]: p.payload["offset"] for p in found if p.payload is not None}


def _prefetches(search: Search, asked: points.Sparse) -> list[models.Prefetch]:
    tenant = _match(points.TENANT, search.tenant)
    where = models.Filter(must=[tenant, *_in_collections(search)])
    limit = max(search.limit * points.CANDIDATES_PER_RESULT, points.MIN_CANDIDATES)
    dense = models.Prefetch(query=search.vector.tolist(), using=DENSE, filter=where, limit=limit)
    if not asked.indices:
        return [dense]
    # A tenant's ranking must not depend on other tenants' documents.
    corpus = models.SearchParams(idf=models.IdfCorpusParams(corpus=models.Filter(must=[tenant])))
    terms = models.SparseVector(indices=list(asked.indices), values=list(asked.values))
    return [dense, models.Prefetch(query=terms, using=SPARSE, filter=where, limit=limit, params=corpus)]


def _hit(point: models.ScoredPoint, search: Search, asked: points.Sparse) -> Hit:
    vectors: Any = point.vector
    return points.hit_from(point.payload or {}, vectors[DENSE], vectors[SPARSE].indices, search, asked)


def _match(name: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=name, match=models.MatchValue(value=value))


def _in_collections(search: Search) -> list[models.FieldCondition]:
    if search.collections is None:
        return []
    return [models.FieldCondition(key=points.COLLECTION, match=models.MatchAny(any=list(search.collections)))]


def _outdated(part: DocumentIndexed) -> models.Filter:
    """Chunks of the document that are not of this version; all of them if it is deleted."""
    must = [_match(points.TENANT, part.tenant), _match(points.DOCUMENT, part.document_id), _match(points.KIND, "chunk")]
    return models.Filter(must=must, must_not=[] if part.deleted else [_match(points.VERSION, part.version)])
