"""With the real embedding model: what bears on a question is a source, what does not is none."""

import pytest

from libs.embeddings import Embedder, create_embedder
from schemas.documents import DocumentAccepted
from services.grounding.adapters.in_memory import InMemoryIndex
from services.grounding.adapters.points import Bm25Encoder
from services.grounding.domain.chunking import Sizes
from services.grounding.domain.indexing import index
from services.grounding.domain.retrieval import Search, good
from services.grounding.settings import GroundingSettings

HANDBOOK = """# Operations handbook

## Restarting a broker
Stop one broker, wait until no partition is under-replicated, start it again, then go on with the next one.

## Backups
A full copy of the database is taken every night at two o'clock and kept for thirty days.

## Personal data
E-mail addresses and phone numbers are masked before the language model reads a prompt, and restored in its answer.

## Travel
Train journeys are booked first class when they take longer than four hours.
"""


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return create_embedder()


@pytest.fixture(scope="module")
async def handbook(embedder: Embedder) -> InMemoryIndex:
    held = InMemoryIndex(Bm25Encoder())
    document = DocumentAccepted(
        document_id="handbook",
        tenant="acme",
        collection="c",
        media_type="text/markdown",
        content=HANDBOOK,
        content_hash="v",
    )
    for part in index(document, embedder, Sizes(), 0):
        await held.write(part)
    return held


async def sources(handbook: InMemoryIndex, embedder: Embedder, question: str) -> list[str | None]:
    search = Search(embedder.embed([question])[0], question, "acme")
    return [hit.location for hit in good(await handbook.search(search), GroundingSettings().min_score, 4)]


@pytest.mark.parametrize(
    ("question", "section"),
    [
        ("How do I restart a Kafka broker safely?", "Restarting a broker"),
        ("how long do we keep backups", "Backups"),
        ("Does the model see my phone number?", "Personal data"),
        ("May I travel first class by train?", "Travel"),
    ],
)
async def test_a_question_finds_its_section_first(
    question: str, section: str, handbook: InMemoryIndex, embedder: Embedder
) -> None:
    assert (await sources(handbook, embedder, question))[0] == f"Operations handbook > {section}"


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "How do I bake bread?",
        "hello",
        "Who wrote Hamlet?",
        "Which stocks should I buy?",
    ],
)
async def test_an_unrelated_question_finds_nothing(question: str, handbook: InMemoryIndex, embedder: Embedder) -> None:
    assert await sources(handbook, embedder, question) == []
