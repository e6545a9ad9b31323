"""A sample of what is indexed: whole documents of one version, the same whatever came first, personal data masked."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from libs.bus import InMemoryBus, Outgoing, encode
from libs.personal_data import PatternDetector
from schemas.documents import DocumentIndexed, IndexedChunk
from services.evaluation.adapters.knowledge import KNOWLEDGE, LoggedKnowledge
from services.evaluation.domain.exam import Exam
from services.evaluation.domain.gate import Gate

TOPIC = "document-indexed"


def part(document: str, number: int = 0, parts: int = 1, *, version: str = "1", **fields: Any) -> DocumentIndexed:
    told = {"title": f"On {document}", "chunks": chunks(f"{document} {version}.{number} a", f"{document} b"), **fields}
    return DocumentIndexed(
        document_id=document, tenant="t", collection="c", version=version, part=number, parts=parts,
        embedding_model="m", **told,
    )  # fmt: skip


def chunks(*texts: str) -> tuple[IndexedChunk, ...]:
    return tuple(IndexedChunk(ordinal=n, text=text, vector="AAA=") for n, text in enumerate(texts))


def exam(questions: int = 4) -> Exam:
    rules = [{"metric": "safety", "must": "not_fall"}]
    gate = Gate.model_validate({"name": "g", "version": 1, "rules": rules, "exams": {"questions": questions}})
    return Exam(
        evaluation_id="eval-1", request_id="q", model="m", champion=None, gate=gate, dataset=None,
        datasets=Path("d"), models=Path("m"), base="smol",
    )  # fmt: skip


async def write(bus: InMemoryBus, *events: DocumentIndexed) -> None:
    for event in events:
        await bus.append(Outgoing(TOPIC, event.key.encode(), encode(event)))


async def gathered(bus: InMemoryBus, folder: Path, documents: int = 100) -> list[dict[str, Any]]:
    await LoggedKnowledge(bus, folder, documents, PatternDetector().find).gather(exam())
    file = folder / "eval-1" / KNOWLEDGE
    return [json.loads(line) for line in file.read_text().splitlines()]


def told(lines: list[dict[str, Any]]) -> set[str]:
    return {line["text"] for line in lines}


async def test_documents_are_told_passage_by_passage(in_memory: InMemoryBus, tmp_path: Path) -> None:
    await write(in_memory, part("x", 0, 2), part("x", 1, 2))
    first, *_ = found = await gathered(in_memory, tmp_path)
    assert len(found) == 4
    assert first == {
        "document_id": "t/x", "title": "On x", "ordinal": 0, "text": "x 1.0 a", "vector": "AAA=",
        "embedding_model": "m",
    }  # fmt: skip


async def test_only_the_newest_whole_version_counts_and_nothing_that_is_gone(
    in_memory: InMemoryBus, tmp_path: Path
) -> None:
    await write(in_memory, part("new", version="1"), part("new", version="2"))
    await write(in_memory, part("half", 0, 2), part("gone"), part("gone", deleted=True))
    for bad in (None, b"{", b"\xff"):
        await in_memory.append(Outgoing(TOPIC, b"t/x/0", bad))
    assert told(await gathered(in_memory, tmp_path)) == {"new 2.0 a", "new b"}


async def test_personal_data_is_masked_in_titles_and_texts(in_memory: InMemoryBus, tmp_path: Path) -> None:
    await write(in_memory, part("x", title="Of ann@example.org", chunks=chunks("Write to ann@example.org.")))
    (line,) = await gathered(in_memory, tmp_path)
    assert (line["title"], line["text"]) == ("Of <EMAIL_ADDRESS>", "Write to <EMAIL_ADDRESS>.")


async def test_a_sample_is_the_same_whatever_came_first(in_memory: InMemoryBus, tmp_path: Path) -> None:
    names = [f"d-{number}" for number in range(40)]
    await write(in_memory, *(part(name) for name in names))
    sample = await gathered(in_memory, tmp_path / "one", documents=7)
    assert len({line["document_id"] for line in sample}) == 7
    random.Random(5).shuffle(names)
    other = InMemoryBus({TOPIC: 3})
    await write(other, *(part(name) for name in names))
    assert told(await gathered(other, tmp_path / "other", documents=7)) == told(sample)


async def test_an_examination_that_is_begun_again_asks_of_the_same_documents(
    in_memory: InMemoryBus, tmp_path: Path
) -> None:
    await write(in_memory, part("x"))
    before = await gathered(in_memory, tmp_path)
    await write(in_memory, part("y"))
    assert await gathered(in_memory, tmp_path) == before


@pytest.mark.parametrize(("documents", "questions"), [(0, 4), (9, 0)])
async def test_nothing_is_read_where_nothing_is_asked(
    in_memory: InMemoryBus, tmp_path: Path, documents: int, questions: int
) -> None:
    await write(in_memory, part("x"))
    await LoggedKnowledge(in_memory, tmp_path, documents, PatternDetector().find).gather(exam(questions))
    assert not (tmp_path / "eval-1" / KNOWLEDGE).exists()
