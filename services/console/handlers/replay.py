"""A replay: shadows of a stretch of history in the batch lane, a bounded number in flight, and the two sides compared.

The log is the memory: the same run taken up again finds the shadows that are answered, and asks the others again
under their ids.
"""

import asyncio
from datetime import timedelta

from libs.bus import Bus, Producer, Record
from schemas.responses import ResponseShadow
from schemas.topics import topic_of
from services.console.domain.comparison import Row, Side, alike, side_of, verdict_on
from services.console.domain.errors import ConsoleError
from services.console.domain.outcomes import Identity
from services.console.domain.shadows import Original, Overrides, outgoing, shadow_of
from services.console.handlers.following import first_failure, recent, tell_new
from services.console.handlers.stretches import Stretch, history_of, originals
from services.console.ports import Progress

_OUTCOMES = topic_of(ResponseShadow).name


class Replay:
    """One run over one stretch. `rows` may be read at any time, also after it was cut short."""

    def __init__(
        self,
        bus: Bus,
        stretch: Stretch,
        overrides: Overrides,
        run: str,
        progress: Progress,
        *,
        in_flight: int = 32,
        patience: timedelta = timedelta(minutes=10),
    ) -> None:
        self._bus, self._stretch, self._overrides, self._run = bus, stretch, overrides, run
        self._progress = progress
        self._patience = patience.total_seconds()
        self._slots = asyncio.Semaphore(in_flight)
        self._originals: list[Original] = []
        self._history: dict[Identity, Side] = {}
        self._ids: dict[Identity, str] = {}
        self._refused: dict[Identity, str] = {}
        self._answers: dict[Identity, Side] = {}
        self._asked: set[Identity] = set()
        self._changed = asyncio.Event()
        self.gone: list[str] = []

    async def run(self) -> None:
        """Until every shadow has its outcome, or none came for as long as `patience`."""
        starts = await self._bus.end_offsets(_OUTCOMES)
        self._originals, self.gone = await originals(self._bus, self._stretch)
        self._history = await history_of(self._bus, self._originals, self._stretch.topic)
        self._name_all()
        async for record in recent(self._bus, _OUTCOMES, None):
            self._hear(record)
        self._tell()
        await first_failure(
            asyncio.create_task(tell_new(self._bus, _OUTCOMES, starts, self._hear)),
            asyncio.create_task(self._ask_all()),
        )

    @property
    def rows(self) -> list[Row]:
        """The comparison so far, in the order of history."""
        return [self._row(original) for original in self._originals]

    def _name_all(self) -> None:
        for it in self._originals:
            if it.prompt is None:
                self._refused[it.identity] = f"it cannot be read: {it.says}"
                continue
            try:
                shadow = shadow_of(it.prompt, self._overrides, self._run)
            except ConsoleError as error:
                self._refused[it.identity] = str(error)
            else:
                self._ids[it.identity] = shadow.prompt_id

    async def _ask_all(self) -> None:
        producer = await self._bus.producer()
        try:
            for it in self._originals:
                if it.identity in self._ids and it.identity not in self._answers:
                    await self._within_patience(self._slots.acquire())
                    await self._ask(it, producer)
            while self._asked:
                self._changed.clear()
                await self._within_patience(self._changed.wait())
        except TimeoutError:
            # What is open is told as such; the run can be taken up again.
            return
        finally:
            await producer.stop()

    async def _within_patience(self, event: object) -> None:
        async with asyncio.timeout(self._patience):
            await event  # type: ignore[misc]

    async def _ask(self, it: Original, producer: Producer) -> None:
        assert it.prompt is not None
        self._asked.add(it.identity)
        shadow = shadow_of(it.prompt, self._overrides, self._run)
        await (await producer.send(outgoing(shadow, it, self._run)))

    def _hear(self, record: Record) -> None:
        try:
            outcome = ResponseShadow.model_validate_json(record.value or b"")
        except ValueError:
            return
        identity = (outcome.tenant, outcome.shadow.prompt_id)
        if self._ids.get(identity) != outcome.prompt_id or identity in self._answers:
            return
        self._answers[identity] = side_of(outcome)
        if identity in self._asked:
            self._asked.discard(identity)
            self._slots.release()
        self._changed.set()
        self._tell()

    def _tell(self) -> None:
        done = len(self._answers) + len(self._refused)
        self._progress.advance(done, len(self._originals), f"{len(self._asked)} in flight")

    def _row(self, it: Original) -> Row:
        original, shadow = self._history.get(it.identity), self._answers.get(it.identity)
        refused = self._refused.get(it.identity)
        return Row(
            place=str(it.place),
            tenant=it.identity[0],
            prompt_id=it.identity[1],
            shadow_id=self._ids.get(it.identity),
            verdict="not asked" if refused is not None else verdict_on(original, shadow),
            alike=alike(original, shadow),
            says=refused,
            original=original,
            shadow=shadow,
        )
