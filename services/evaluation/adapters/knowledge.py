"""Documents as the log has them (`document-indexed`), a sample by the hash of their ids, personal data masked.

Read without a group when an examination begins, and kept beside it, so that it asks the same when it is begun again.
"""

import asyncio
import hashlib
import heapq
import json
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from libs.bus import Bus, Record, Rejected, decode
from libs.files import write_whole
from libs.personal_data import Find, Unmaskable, mask_together
from schemas.documents import DocumentIndexed
from schemas.topics import topic_of
from services.evaluation.domain.exam import Exam

KNOWLEDGE = "knowledge.jsonl"
_TOPIC = topic_of(DocumentIndexed).name
_CHUNKS = 40
"""Of a document, the first so many: a book is no more of a test than a page."""

DocumentKey = tuple[str, str]


class LoggedKnowledge:
    """`Knowledge`. `documents`: at most so many; 0: none at all."""

    def __init__(self, bus: Bus, reports: Path, documents: int, find: Find) -> None:
        self._bus, self._reports, self._documents, self._find = bus, reports, documents, find

    async def gather(self, exam: Exam) -> None:
        file = self._reports / exam.evaluation_id / KNOWLEDGE
        if not self._documents or not exam.gate.exams.questions or file.exists():
            return
        sample = _Sample(self._documents)
        for partition, end in sorted((await self._bus.end_offsets(_TOPIC)).items()):
            async with aclosing(self._bus.read(_TOPIC, partition, end=end)) as records:
                async for record in records:
                    sample.take(record)
        await asyncio.to_thread(self._write, file, sample)

    def _write(self, file: Path, sample: "_Sample") -> None:
        write_whole(file, "".join(f"{json.dumps(line)}\n" for line in self._lines(sample)), durable=True)

    def _lines(self, sample: "_Sample") -> Iterator[dict[str, Any]]:
        for parts in sample.documents():
            chunks = [chunk for part in parts for chunk in part.chunks][:_CHUNKS]
            title = parts[0].title or parts[0].document_id
            try:
                masked = mask_together(self._find, [title, *(chunk.text for chunk in chunks)]).texts
            except Unmaskable:
                continue
            for chunk, text in zip(chunks, masked[1:], strict=True):
                yield {
                    "document_id": f"{parts[0].tenant}/{parts[0].document_id}",
                    "title": masked[0],
                    "ordinal": chunk.ordinal,
                    "text": text,
                    "vector": chunk.vector,
                    "embedding_model": parts[0].embedding_model,
                }


class _Sample:
    """The documents whose ids have the smallest hashes: the same ones, whatever order they are read in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._largest: list[tuple[int, DocumentKey]] = []
        """A heap with the largest hash first, by its negative."""
        self._parts: dict[DocumentKey, dict[int, DocumentIndexed]] = {}

    def take(self, record: Record) -> None:
        """A part of a document, or word that there is none any more."""
        try:
            event = decode(record, DocumentIndexed) if record.value is not None else None
        except Rejected:
            # Grounding reports it.
            return
        if event is None:
            return
        key = (event.tenant, event.document_id)
        if event.deleted:
            self._parts.get(key, {}).clear()
        elif self._has_room(key):
            self._parts[key][event.part] = event

    def _has_room(self, key: DocumentKey) -> bool:
        if key in self._parts:
            return True
        digest = int.from_bytes(hashlib.sha256("/".join(key).encode()).digest()[:8])
        if len(self._parts) >= self._most:
            if -self._largest[0][0] <= digest:
                return False
            _, gone = heapq.heappop(self._largest)
            del self._parts[gone]
        heapq.heappush(self._largest, (-digest, key))
        self._parts[key] = {}
        return True

    def documents(self) -> Iterator[list[DocumentIndexed]]:
        """The parts of each that is there whole, in one version."""
        for _, parts in sorted(self._parts.items()):
            newest = max(parts.values(), key=lambda it: (it.part == it.parts - 1, it.part), default=None)
            if newest is None:
                continue
            found = [parts[part] for part in range(newest.parts) if part in parts]
            if len(found) == newest.parts and len({(it.version, it.embedding_model) for it in found}) == 1:
                yield found
