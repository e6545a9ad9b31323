"""One behaviour suite for every index: memory, Qdrant Edge, the client's local mode, and a server if there is one."""

import os
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient

from libs.embeddings import HashingEmbedder
from schemas.documents import DocumentIndexed, IndexedChunk
from services.grounding.adapters.in_memory import InMemoryIndex
from services.grounding.adapters.points import Bm25Encoder
from services.grounding.adapters.qdrant_edge import QdrantEdgeIndex
from services.grounding.adapters.qdrant_server import QdrantServerIndex
from services.grounding.domain.indexing import Head
from services.grounding.domain.retrieval import Hit, Search
from services.grounding.domain.vectors import pack

# Local mode searches everything anyway, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")

EMBEDDER = HashingEmbedder(64)
SERVER = os.environ.get("TAILRACE_TEST_QDRANT_URL")


class Index(Protocol):
    async def write(self, part: DocumentIndexed) -> None: ...
    async def head(self, tenant: str, document_id: str) -> Head | None: ...
    async def search(self, search: Search) -> list[Hit]: ...
    def positions(self) -> Mapping[int, int]: ...
    async def reached(self, partition: int, offset: int) -> None: ...


def make(kind: str, folder: Path) -> AbstractAsyncContextManager[Index]:
    bm25 = Bm25Encoder()
    if kind == "memory":
        return nullcontext(InMemoryIndex(bm25))
    if kind == "edge":
        return QdrantEdgeIndex(folder / "index", EMBEDDER.dimension, bm25)
    client = AsyncQdrantClient(":memory:") if kind == "local" else AsyncQdrantClient(url=SERVER)
    return QdrantServerIndex(client, f"test-{uuid.uuid4().hex}", EMBEDDER.dimension, bm25)


KINDS = ["memory", "edge", "local", *(["server"] if SERVER else [])]


@pytest.fixture(params=KINDS)
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Index]:
    async with make(request.param, tmp_path) as made:
        yield made


def part(
    document_id: str = "guide",
    texts: tuple[str, ...] = ("Kafka brokers restart one after another.",),
    *,
    tenant: str = "acme",
    collection: str = "handbook",
    version: str = "v1",
    number: int = 0,
    parts: int = 1,
    deleted: bool = False,
) -> DocumentIndexed:
    return DocumentIndexed(
        document_id=document_id,
        tenant=tenant,
        collection=collection,
        version=version,
        part=number,
        parts=parts,
        title="Guide",
        embedding_model=EMBEDDER.name,
        deleted=deleted,
        chunks=tuple(
            IndexedChunk(ordinal=100 * number + i, text=text, location="Install > Linux", vector=pack(vector))
            for i, (text, vector) in enumerate(zip(texts, EMBEDDER.embed(texts), strict=True))
        ),
    )


def asking(text: str, *, tenant: str = "acme", collections: tuple[str, ...] | None = None, limit: int = 8) -> Search:
    return Search(EMBEDDER.embed([text])[0], text, tenant, collections, limit)


async def texts(index: Index, search: Search) -> list[str]:
    return [hit.text for hit in await index.search(search)]


async def test_a_hit_says_where_it_comes_from_and_how_near_it_is(index: Index) -> None:
    await index.write(part())
    (hit,) = await index.search(asking("how do brokers restart?"))
    assert (hit.document_id, hit.version, hit.ordinal, hit.title) == ("guide", "v1", 0, "Guide")
    assert hit.location == "Install > Linux"
    assert hit.overlap == pytest.approx(1.0)
    expected = EMBEDDER.embed(["how do brokers restart?"])[0] @ EMBEDDER.embed([hit.text])[0]
    assert hit.cosine == pytest.approx(float(expected), abs=2e-3)


async def test_the_best_passage_comes_first(index: Index) -> None:
    await index.write(part(texts=("Cats sleep all day.", "Brokers restart slowly.", "Dogs bark at night.")))
    assert (await texts(index, asking("brokers restart")))[0] == "Brokers restart slowly."


async def test_a_shared_rare_word_finds_a_passage_whose_vector_is_far(index: Index) -> None:
    await index.write(part(texts=(*(f"server number {n}" for n in range(20)), "the zookeeper is gone")))
    search = Search(EMBEDDER.embed(["server number"])[0], "zookeepers", "acme", None, 3)
    assert "the zookeeper is gone" in await texts(index, search)


async def test_a_word_is_as_rare_as_the_tenants_own_documents_make_it(index: Index) -> None:
    await index.write(part(texts=("alpha", "gamma", "gamma one", "gamma one two", "gamma one two three")))
    await index.write(part("b", tuple(f"alpha {n}" for n in range(60)), tenant="other"))
    alpha, gamma = EMBEDDER.embed(["alpha", "gamma"])
    vector = (alpha + 0.8 * gamma) / np.linalg.norm(alpha + 0.8 * gamma)
    # Were rarity counted over all tenants, four passages with gamma would come before alpha in BM25.
    assert (await texts(index, Search(vector, "alpha gamma", "acme")))[0] == "alpha"


async def test_no_tenant_sees_what_belongs_to_another(index: Index) -> None:
    await index.write(part(tenant="acme"))
    await index.write(part(tenant="other", texts=("Brokers of the others restart.",)))
    assert await texts(index, asking("brokers restart", tenant="other")) == ["Brokers of the others restart."]
    assert await texts(index, asking("brokers restart", tenant="third")) == []


async def test_only_the_wanted_collections_are_searched(index: Index) -> None:
    await index.write(part("a", ("brokers in a",), collection="one"))
    await index.write(part("b", ("brokers in b",), collection="two"))
    assert await texts(index, asking("brokers", collections=("two",))) == ["brokers in b"]
    assert await texts(index, asking("brokers", collections=())) == []
    assert sorted(await texts(index, asking("brokers"))) == ["brokers in a", "brokers in b"]


async def test_a_document_moved_to_another_collection_is_found_only_there(index: Index) -> None:
    await index.write(part(collection="one"))
    await index.write(part(collection="two"))
    assert await texts(index, asking("brokers", collections=("one",))) == []
    assert len(await texts(index, asking("brokers", collections=("two",)))) == 1


async def test_the_last_part_of_a_version_drops_the_version_before(index: Index) -> None:
    await index.write(part(texts=("old brokers",)))
    await index.write(part(texts=("new brokers",), version="v2", parts=2))
    assert "old brokers" in await texts(index, asking("brokers"))
    head = await index.head("acme", "guide")
    assert head is not None
    assert head.version == "v1"
    await index.write(part(texts=("more brokers",), version="v2", number=1, parts=2))
    assert sorted(await texts(index, asking("brokers"))) == ["more brokers", "new brokers"]
    assert await index.head("acme", "guide") == Head("v2", "handbook", 2, EMBEDDER.name)


async def test_an_update_leaves_other_documents_and_tenants_alone(index: Index) -> None:
    await index.write(part("a", ("brokers a",)))
    await index.write(part("a", ("brokers of other",), tenant="other"))
    await index.write(part("b", ("brokers b",)))
    await index.write(part("a", ("brokers a2",), version="v2"))
    assert sorted(await texts(index, asking("brokers"))) == ["brokers a2", "brokers b"]
    assert await texts(index, asking("brokers", tenant="other")) == ["brokers of other"]


async def test_a_deleted_document_is_gone_and_its_head_says_so(index: Index) -> None:
    await index.write(part())
    await index.write(part(texts=(), deleted=True))
    assert await texts(index, asking("brokers restart")) == []
    head = await index.head("acme", "guide")
    assert head is not None
    assert head.deleted


async def test_writing_twice_changes_nothing(index: Index) -> None:
    for _ in range(2):
        await index.write(part(texts=("brokers one", "brokers two")))
    assert sorted(await texts(index, asking("brokers"))) == ["brokers one", "brokers two"]


async def test_a_question_without_words_still_searches_by_meaning(index: Index) -> None:
    await index.write(part())
    (hit,) = await index.search(asking("???"))
    assert hit.overlap == 0


async def test_an_unknown_document_has_no_head_and_an_empty_index_no_hits(index: Index) -> None:
    assert await index.head("acme", "nothing") is None
    assert await index.search(asking("brokers")) == []


async def test_the_limit_bounds_what_is_found(index: Index) -> None:
    await index.write(part(texts=tuple(f"brokers {n}" for n in range(12))))
    assert len(await index.search(asking("brokers", limit=3))) == 3


@pytest.mark.parametrize("kind", ["edge"])
async def test_a_persistent_index_knows_after_a_restart_what_it_held_and_how_far_it_came(
    kind: str, tmp_path: Path
) -> None:
    async with make(kind, tmp_path) as first:
        await first.write(part())
        await first.reached(0, 7)
        await first.reached(0, 8)
        await first.reached(3, 1)
    async with make(kind, tmp_path) as second:
        assert second.positions() == {0: 8, 3: 1}
        assert len(await texts(second, asking("brokers"))) == 1
        assert await second.head("acme", "guide") == Head("v1", "handbook", 1, EMBEDDER.name)


async def test_an_unknown_language_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="klingon"):
        Bm25Encoder("klingon")
