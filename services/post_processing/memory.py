"""Which prompts have their outcome, and who else waits for one: read back from the log when a partition is assigned.

The first decision about a prompt stands. `decided` is called by the handler itself, before anything is written, so
that two decisions handled side by side cannot both win; the input that decided is kept, so that a second attempt at
the same input is not taken for a second decision.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta

from libs.bus import Record, cause_of
from schemas.prompts import PromptRepeated
from schemas.responses import ResponseReady, ResponseShadow
from schemas.topics import topics_of

Identity = tuple[str, str]
Cause = tuple[str, int, int]


@dataclass(slots=True)
class Finished:
    """An outcome: which input led to it, whether the log is known to hold it, its JSON while it is kept."""

    cause: Cause | None
    logged: bool
    body: bytes | None


@dataclass(slots=True)
class _Shelf:
    finished: OrderedDict[Identity, Finished] = field(default_factory=OrderedDict)
    with_body: OrderedDict[Identity, int] = field(default_factory=OrderedDict)
    bytes_held: int = 0
    waiting: OrderedDict[Identity, tuple[int, ...]] = field(default_factory=OrderedDict)


class FinishedPrompts:
    """`Memory` of outcomes, per partition: the newest `limit` prompts, and bodies of `max_bytes` together."""

    def __init__(self, *, window: timedelta, limit: int, max_bytes: int) -> None:
        self.window = window
        outcomes = (ResponseReady, ResponseShadow)
        self.topics = tuple(t.name for event in (*outcomes, PromptRepeated) for t in topics_of(event))
        self._limit, self._max_bytes = limit, max_bytes
        self._shelves: dict[int, _Shelf] = {}

    def find(self, identity: Identity) -> Finished | None:
        """The outcome of a prompt, if it has one."""
        for shelf in self._shelves.values():
            if (found := shelf.finished.get(identity)) is not None:
                return found
        return None

    def waiting(self, identity: Identity) -> tuple[int, ...]:
        """Reply partitions of callers who repeated the prompt before it was finished."""
        return tuple(place for shelf in self._shelves.values() for place in shelf.waiting.get(identity, ()))

    def decided(self, partition: int, cause: Cause, outcome: ResponseReady) -> None:
        """Notes the first decision about a prompt."""
        self._keep(partition, outcome.identity, Finished(cause, logged=False, body=outcome.model_dump_json().encode()))

    def wait(self, partition: int, identity: Identity, reply_to: int) -> None:
        """Notes a caller who wants a copy as soon as there is one."""
        waiting = self._shelf(partition).waiting
        waiting[identity] = (*(p for p in waiting.get(identity, ()) if p != reply_to), reply_to)
        if len(waiting) > self._limit:
            waiting.popitem(last=False)

    def recall(self, record: Record) -> None:
        """Takes in one record of the log (offset 0 or more), or one just handed to the producer (-1)."""
        if record.value is None:
            return
        try:
            if record.topic.startswith(PromptRepeated.TYPE):
                self._recall_repeated(PromptRepeated.model_validate_json(record.value), record.partition)
            else:
                self._recall_outcome(ResponseReady.model_validate_json(record.value), record)
        except ValueError:
            # Damaged: whoever consumes the topic reports it.
            return

    def forget(self, partition: int) -> None:
        """The partition went to another instance."""
        self._shelves.pop(partition, None)

    def _recall_repeated(self, event: PromptRepeated, partition: int) -> None:
        if event.reply_to is not None and not event.conflict:
            self.wait(partition, event.identity, event.reply_to)

    def _recall_outcome(self, outcome: ResponseReady, record: Record) -> None:
        if record.offset >= 0:
            self._keep(record.partition, outcome.identity, Finished(cause_of(record), logged=True, body=record.value))

    def _shelf(self, partition: int) -> _Shelf:
        return self._shelves.setdefault(partition, _Shelf())

    def _keep(self, partition: int, identity: Identity, entry: Finished) -> None:
        shelf = self._shelf(partition)
        if identity in shelf.finished:
            return
        shelf.finished[identity] = entry
        shelf.with_body[identity] = len(entry.body or b"")
        shelf.bytes_held += shelf.with_body[identity]
        self._make_room(shelf)

    def _make_room(self, shelf: _Shelf) -> None:
        while shelf.bytes_held > self._max_bytes and len(shelf.with_body) > 1:
            oldest, size = shelf.with_body.popitem(last=False)
            shelf.bytes_held -= size
            shelf.finished[oldest].body = None
        if len(shelf.finished) > self._limit:
            gone, _ = shelf.finished.popitem(last=False)
            shelf.bytes_held -= shelf.with_body.pop(gone, 0)
            shelf.waiting.pop(gone, None)
