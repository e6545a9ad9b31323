"""Documents into the knowledge base: published with a bounded number in flight, each watched until it is decided."""

import asyncio
from collections.abc import Callable, Iterable

from libs.bus import Bus, Outgoing, Record, encode, headers_for
from libs.clock import Clock
from schemas.documents import DocumentAccepted, DocumentIndexed, DocumentRefused, DocumentSubmitted
from schemas.topics import topic_of
from services.console.domain.documents import DocumentResult
from services.console.domain.errors import ConsoleError
from services.console.handlers.following import first_failure, recent, tell_new
from services.console.ports import Progress

_ASK = topic_of(DocumentSubmitted).name
_ACCEPTED = topic_of(DocumentAccepted).name
_INDEXED = topic_of(DocumentIndexed).name
_REFUSED = topic_of(DocumentRefused).name

Key = tuple[str, str]
Load = Callable[[], DocumentSubmitted]
"""Reads one file when its turn comes. Raises ConsoleError for a file that cannot be sent."""


class Submission:
    """Some documents on their way. `documents` are (document id, how to load it)."""

    def __init__(
        self,
        bus: Bus,
        documents: Iterable[tuple[str, Load]],
        progress: Progress,
        clock: Clock,
        *,
        in_flight: int = 16,
        patience: float = 2.0,
    ) -> None:
        """`patience`: after so many seconds without news, the log is searched for what is indexed already."""
        self._bus = bus
        self._documents = list(documents)
        self._progress = progress
        self._clock = clock
        self._slots = asyncio.Semaphore(in_flight)
        self._waiting: set[Key] = set()
        self._changed = asyncio.Event()
        self._patience = patience
        self._accepted: dict[Key, DocumentAccepted] = {}
        self._chunks: dict[Key, int] = {}
        self.results: dict[str, DocumentResult] = {}

    async def run(self) -> None:
        """Until every document is indexed, unchanged, deleted or refused."""
        accepted = await self._bus.end_offsets(_ACCEPTED)
        indexed = await self._bus.end_offsets(_INDEXED)
        refusals = await self._bus.end_offsets(_REFUSED)
        await first_failure(
            asyncio.create_task(tell_new(self._bus, _ACCEPTED, accepted, self._hear_accepted)),
            asyncio.create_task(tell_new(self._bus, _INDEXED, indexed, self._hear_indexed)),
            asyncio.create_task(tell_new(self._bus, _REFUSED, refusals, self._hear_refused)),
            asyncio.create_task(self._find_unchanged()),
            asyncio.create_task(self._submit_all()),
        )

    async def _submit_all(self) -> None:
        producer = await self._bus.producer()
        try:
            for document_id, load in self._documents:
                try:
                    event = load()
                except ConsoleError as error:
                    self._decide(DocumentResult(document_id, "refused", "invalid_request", str(error)))
                    continue
                await self._slots.acquire()
                self._waiting.add((event.tenant, event.document_id))
                await (await producer.send(self._outgoing(event)))
            while self._waiting:
                self._changed.clear()
                await self._changed.wait()
        finally:
            await producer.stop()

    def _outgoing(self, event: DocumentSubmitted) -> Outgoing:
        now = self._clock()
        event_id = f"{event.tenant}/{event.document_id}/{now.isoformat()}"
        return Outgoing(_ASK, event.key.encode(), encode(event), headers_for(event, event_id, "console", now=now))

    def _hear_accepted(self, record: Record) -> None:
        if record.value is None:
            return
        event = DocumentAccepted.model_validate_json(record.value)
        if (key := (event.tenant, event.document_id)) in self._waiting:
            # Its hash is all that is wanted of the content.
            self._accepted[key] = event.model_copy(update={"content": None, "content_base64": None})

    async def _find_unchanged(self) -> None:
        """Nothing is written for a document that the log holds as it is: where news fail to come, this looks."""
        delay = self._patience
        while True:
            known = len(self.results)
            await asyncio.sleep(delay)
            if len(self.results) == known and self._accepted:
                await self._compare_with_log()
                delay = min(2 * delay, 60.0)

    async def _compare_with_log(self) -> None:
        newest: dict[Key, DocumentIndexed] = {}
        async for record in recent(self._bus, _INDEXED, None):
            if record.value is not None:
                event = DocumentIndexed.model_validate_json(record.value)
                if (key := (event.tenant, event.document_id)) in self._accepted:
                    newest[key] = event.model_copy(update={"chunks": ()})
        for key, accepted in list(self._accepted.items()):
            found = newest.get(key)
            if accepted.deleted and (found is None or found.deleted):
                self._finish(key, DocumentResult(key[1], "deleted", message="it was not there"))
            elif found is not None and not found.deleted and _same(accepted, found):
                self._finish(key, DocumentResult(key[1], "unchanged"))

    def _hear_indexed(self, record: Record) -> None:
        if record.value is None:
            return
        event = DocumentIndexed.model_validate_json(record.value)
        key = (event.tenant, event.document_id)
        if key not in self._waiting:
            return
        self._chunks[key] = self._chunks.get(key, 0) + len(event.chunks)
        if event.deleted or event.part == event.parts - 1:
            status = "deleted" if event.deleted else "indexed"
            self._finish(key, DocumentResult(event.document_id, status, chunks=self._chunks.pop(key)))

    def _hear_refused(self, record: Record) -> None:
        if record.value is None:
            return
        event = DocumentRefused.model_validate_json(record.value)
        reason = event.reason
        self._finish(
            (event.tenant, event.document_id),
            DocumentResult(event.document_id, "refused", reason.code, reason.message),
        )

    def _finish(self, key: Key, result: DocumentResult) -> None:
        if key in self._waiting:
            self._waiting.discard(key)
            self._accepted.pop(key, None)
            self._slots.release()
            self._changed.set()
            self._decide(result)

    def _decide(self, result: DocumentResult) -> None:
        self.results[result.document_id] = result
        self._progress.advance(len(self.results), len(self._documents), result.document_id)


def _same(accepted: DocumentAccepted, indexed: DocumentIndexed) -> bool:
    return (accepted.content_hash, accepted.collection) == (indexed.version, indexed.collection)
