"""Documents become parts that fit into records; nothing is embedded twice; nothing old stays in the log."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from libs.bus import MAX_EVENT_BYTES, StoredRecord, encode
from libs.embeddings import HashingEmbedder, Vectors
from libs.telemetry import Metrics
from schemas.documents import DocumentAccepted, DocumentIndexed, DocumentRefused
from services.grounding.adapters.in_memory import InMemoryIndex
from services.grounding.adapters.points import Bm25Encoder
from services.grounding.domain.chunking import Sizes
from services.grounding.domain.indexing import MAX_CHUNKS_PER_PART, Head, index
from services.grounding.domain.retrieval import Search
from services.grounding.domain.vectors import pack, unpack
from services.grounding.handlers import apply_indexed, index_document
from services.grounding.memory import HeadMemory
from tests.unit.grounding.conftest import MakeDocument


class CountingEmbedder(HashingEmbedder):
    """Counts the texts it was given."""

    def __init__(self, dimension: int = 64) -> None:
        super().__init__(dimension)
        self.embedded = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.embedded += len(texts)
        return super().embed(texts)


class Indexing:
    """One instance: handler, memory of its own output, and index, with the log between them."""

    def __init__(self, metrics: Metrics, embedder: CountingEmbedder | None = None) -> None:
        self.embedder = embedder or CountingEmbedder()
        self.index = InMemoryIndex(Bm25Encoder())
        self.heads = HeadMemory()
        self.metrics = metrics
        self.log: list[StoredRecord] = []

    async def handle(self, document: DocumentAccepted) -> list[DocumentIndexed] | DocumentRefused:
        out = await index_document(
            document,
            index=self.index,
            heads=self.heads,
            embedder=self.embedder,
            sizes=Sizes(20, 0),
            metrics=self.metrics,
        )
        for event in out if isinstance(out, list) else []:
            self.log.append(StoredRecord("document-indexed", 0, len(self.log), 0, event.key.encode(), encode(event)))
            self.heads.recall(self.log[-1])
        return out

    async def catch_up(self) -> None:
        await self.replay(self.log[self.index.positions().get(0, 0) :])

    async def replay(self, records: Sequence[StoredRecord]) -> None:
        for record in records:
            assert record.value is not None
            event = DocumentIndexed.model_validate_json(record.value)
            await apply_indexed(event, record, index=self.index, positions=self.index, embedder=self.embedder)

    def compacted(self) -> list[StoredRecord]:
        """What compaction leaves: the newest record of each key, in order."""
        newest = {record.key: record for record in self.log}
        return [record for record in self.log if newest[record.key] is record]

    async def found(self, text: str) -> list[str]:
        vector = self.embedder.embed([text])[0]
        return sorted(hit.text for hit in await self.index.search(Search(vector, text, "acme", None, 50)))


@pytest.fixture
def service(metrics: Metrics) -> Indexing:
    return Indexing(metrics)


def sections(count: int, word: str = "apple") -> str:
    return "\n\n".join(f"# S{n}\n\n{word} {n}" for n in range(count))


async def test_parts_hold_every_passage_in_order_with_unit_vectors(make_document: MakeDocument) -> None:
    count = MAX_CHUNKS_PER_PART * 2 + 5
    parts = index(make_document(sections(count)), HashingEmbedder(), Sizes(), known_parts=0)
    assert [(p.part, p.parts, len(p.chunks)) for p in parts] == [(0, 3, 64), (1, 3, 64), (2, 3, 5)]
    chunks = [chunk for part in parts for chunk in part.chunks]
    assert [c.ordinal for c in chunks] == list(range(count))
    assert chunks[7].text == "apple 7"
    assert chunks[7].location == "S7"
    assert np.linalg.norm(unpack(chunks[7].vector)) == pytest.approx(1, abs=1e-6)


async def test_a_part_stays_under_the_size_of_a_record(make_document: MakeDocument) -> None:
    text = "\n\n".join(f"# S{n}\n\n" + ('\\"\u0001' * 2000) for n in range(120))
    parts = index(make_document(text, media_type="text/plain"), HashingEmbedder(1024), Sizes(4000, 0), 0)
    assert max(len(encode(part)) for part in parts) < MAX_EVENT_BYTES
    assert len(parts) > 2


async def test_vectors_survive_the_wire_nearly_unchanged() -> None:
    vector = HashingEmbedder().embed(["some words to embed"])[0]
    assert float(unpack(pack(vector)) @ vector) > 0.99999
    with pytest.raises(ValueError, match="not zero"):
        unpack(pack(np.zeros(4, np.float32)))


async def test_unchanged_content_is_not_embedded_again(service: Indexing, make_document: MakeDocument) -> None:
    await service.handle(make_document(sections(3)))
    embedded = service.embedder.embedded
    assert await service.handle(make_document(sections(3))) == []
    await service.catch_up()
    service.heads.forget(0)
    assert await service.handle(make_document(sections(3))) == []
    assert service.embedder.embedded == embedded == 3


async def test_a_quick_change_there_and_back_ends_where_it_should(
    service: Indexing, make_document: MakeDocument
) -> None:
    first, second = make_document("apple one", content_hash="v1"), make_document("apple two", content_hash="v2")
    await service.handle(first)
    await service.catch_up()
    await service.handle(second)
    assert await service.handle(first) != []
    await service.catch_up()
    assert await service.found("apple") == ["apple one"]


@pytest.mark.parametrize(
    "change",
    [{"collection": "other"}, {"content_hash": "v2"}],
)
async def test_a_change_of_content_or_collection_is_indexed(
    change: dict[str, str], service: Indexing, make_document: MakeDocument
) -> None:
    await service.handle(make_document())
    assert await service.handle(make_document(**change)) != []


async def test_another_embedding_model_embeds_again(metrics: Metrics, make_document: MakeDocument) -> None:
    old, new = Indexing(metrics), Indexing(metrics, CountingEmbedder(128))
    await old.handle(make_document(sections(3)))
    await new.replay(old.log)
    assert await new.found("apple") == ["apple 0", "apple 1", "apple 2"]
    new.heads = old.heads
    parts = await new.handle(make_document(sections(3)))
    assert isinstance(parts, list)
    assert parts[0].embedding_model == "hashing-128"


async def test_a_shorter_version_leaves_nothing_of_the_longer_one_in_the_log(
    service: Indexing, make_document: MakeDocument
) -> None:
    await service.handle(make_document(sections(150), content_hash="v1"))
    await service.handle(make_document(sections(2, "pear"), content_hash="v2"))
    await service.catch_up()
    assert await service.found("pear") == ["pear 0", "pear 1"]
    kept = b"".join(record.value or b"" for record in service.compacted())
    assert b"pear" in kept
    assert b"apple" not in kept


async def test_an_index_rebuilt_from_the_compacted_log_is_the_same(
    service: Indexing, metrics: Metrics, make_document: MakeDocument
) -> None:
    for n, (count, word) in enumerate([(150, "apple"), (2, "pear"), (70, "plum"), (1, "fig")]):
        await service.handle(make_document(sections(count, word), content_hash=f"v{n}"))
        await service.handle(make_document(f"{word} alone", document_id=f"d{n}", content_hash=f"v{n}"))
    await service.handle(make_document(None, document_id="d1", deleted=True, content_hash="gone"))
    await service.catch_up()
    rebuilt = Indexing(metrics)
    await rebuilt.replay(service.compacted())
    expected = ["apple alone", "fig 0", "fig alone", "plum alone"]
    assert await rebuilt.found("apple pear plum fig") == await service.found("apple pear plum fig") == expected


async def test_a_deleted_document_leaves_neither_the_index_nor_its_text_in_the_log(
    service: Indexing, make_document: MakeDocument
) -> None:
    deletion = make_document(None, deleted=True, content_hash="gone")
    assert await service.handle(deletion) == []
    await service.handle(make_document(sections(150)))
    await service.handle(deletion)
    assert await service.handle(deletion) == []
    await service.catch_up()
    assert await service.found("apple") == []
    assert all(b"apple" not in (record.value or b"") for record in service.compacted())
    await service.handle(make_document(sections(1)))
    await service.catch_up()
    assert await service.found("apple") == ["apple 0"]


async def test_a_crash_between_two_parts_is_made_good_by_doing_it_again(
    service: Indexing, metrics: Metrics, make_document: MakeDocument
) -> None:
    document = make_document(sections(100))
    await service.handle(document)
    crashed = Indexing(metrics)
    crashed.log = service.log[:1]
    crashed.heads.recall(crashed.log[0])
    assert len(await crashed.handle(document)) == 2  # type: ignore[arg-type]
    await crashed.catch_up()
    assert len(await crashed.found("apple")) == 50


async def test_what_cannot_be_read_is_refused_with_the_reason(service: Indexing, make_document: MakeDocument) -> None:
    refused = await service.handle(make_document(" "))
    assert isinstance(refused, DocumentRefused)
    assert (refused.document_id, refused.tenant) == ("guide", "acme")
    assert "holds no text" in refused.reason.message
    assert refused.reason.stage == "grounding"


async def test_the_index_knows_how_far_into_the_log_it_has_come(service: Indexing, make_document: MakeDocument) -> None:
    await service.handle(make_document(sections(100)))
    await service.catch_up()
    assert service.index.positions() == {0: 2}


async def test_the_memory_of_heads_skips_what_it_cannot_read_and_what_is_not_whole(
    service: Indexing, make_document: MakeDocument
) -> None:
    for value in (b"{", None, b"[]"):
        service.heads.recall(StoredRecord("document-indexed", 0, 0, 0, b"k", value))
    parts = index(make_document(sections(100)), service.embedder, Sizes(20, 0), 0)
    service.heads.recall(StoredRecord("document-indexed", 0, 0, 0, b"k", encode(parts[0])))
    assert service.heads.find("acme", "guide") is None
    service.heads.recall(StoredRecord("document-indexed", 0, 0, 0, b"k", encode(parts[1])))
    assert service.heads.find("acme", "guide") == Head("v1", "handbook", 2, service.embedder.name)
    assert service.heads.find("other", "guide") is None


async def test_embedding_leaves_the_event_loop_free(service: Indexing, make_document: MakeDocument) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await service.handle(make_document(sections(200)))
    ticking.cancel()
    assert ticks > 5
