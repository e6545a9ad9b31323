"""Which prompts have their outcome: read back from the tail of response-ready, so that none is answered twice."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from libs.bus import OutputMemory, Record
from schemas.responses import ResponseReady
from services.post_processing.settings import PostProcessingSettings

Identity = tuple[str, str]


class Finished(OutputMemory[Identity, int]):
    """Finished prompts, each with the time its outcome was written (milliseconds since the epoch)."""

    def __init__(self, settings: PostProcessingSettings) -> None:
        super().__init__((ResponseReady,), _read, window=settings.remember_for, limit=settings.remember_at_most)
        self._waiting: dict[Identity, asyncio.Event] = {}

    def remember(self, partition: int, key: Identity, value: int) -> None:
        super().remember(partition, key, value)
        if (event := self._waiting.get(key)) is not None:
            event.set()

    @contextmanager
    def watched(self, identity: Identity) -> Iterator[asyncio.Event]:
        """An event that is set once the prompt has its outcome."""
        event = self._waiting.setdefault(identity, asyncio.Event())
        try:
            yield event
        finally:
            self._waiting.pop(identity, None)


def _read(record: Record) -> tuple[Identity, int] | None:
    if record.value is None:
        return None
    return ResponseReady.model_validate_json(record.value).identity, record.timestamp
