"""A batch: a bounded number of prompts in flight on the batch lane, one result line per input line.

The log is the memory: what was answered before (an interrupted run, the same ids again) is found there and not asked
again. Only ids are held, 16 bytes each; bodies no longer than they are in flight.
"""

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from libs.bus import Bus, Outgoing, Producer, Record, encode, header, headers_for
from libs.bus.failures import salvage
from schemas.base import Lane
from schemas.prompts import PromptSubmitted
from schemas.responses import ResponseReady
from schemas.topics import dead_letter_topic, topic_of, topics_of
from services.console.domain.batch import Digest, Line, Refusal, conflict, digest, read_line, refused, result_of
from services.console.handlers.following import first_failure, recent, tell_new
from services.console.ports import Progress

_ASK = topic_of(PromptSubmitted, Lane.BATCH).name
_OUTCOMES = topic_of(ResponseReady, Lane.BATCH).name
_CONFLICTS = dead_letter_topic(_ASK)

Lines = Callable[[], Iterable[tuple[int, bytes]]]
"""Reads the file's lines with their numbers, anew at each call; blank lines left out."""


class Results(Protocol):
    """Where result lines go."""

    def has(self, number: int) -> bool:
        """Whether this line has its result."""

    def check(self, number: int, prompt_id: str) -> None:
        """Raises ConsoleError when the line has a result of another prompt."""

    def write(self, number: int, body: dict[str, Any]) -> None:
        """Adds a result line, so that it outlives this process."""


@dataclass
class Plan:
    """The file's ids: which lines want the outcome of which prompt."""

    total: int = 0
    lines: dict[Digest, list[int]] = field(default_factory=dict)
    conflicts: dict[int, int] = field(default_factory=dict)
    """Line numbers, with the line that uses their id for something else."""


def plan(lines: Lines, label: str, results: Results) -> Plan:
    """Reads the whole file once. Raises ConsoleError when the results at hand are of another file."""
    found = Plan()
    contents: dict[Digest, Digest] = {}
    for number, raw in lines():
        found.total += 1
        line = read_line(number, raw, label)
        results.check(number, line.prompt_id)
        if isinstance(line, Refusal):
            continue
        known = contents.setdefault(line.identity, line.content)
        if known == line.content:
            found.lines.setdefault(line.identity, []).append(number)
        else:
            found.conflicts[number] = found.lines[line.identity][0]
    return found


class Batch:
    """One run over one file."""

    def __init__(
        self, bus: Bus, lines: Lines, results: Results, progress: Progress, *, in_flight: int = 64, label: str = ""
    ) -> None:
        self._bus = bus
        self._lines = lines
        self._results = results
        self._progress = progress
        self._label = label
        self._plan = plan(lines, label, results)
        self._slots = asyncio.Semaphore(in_flight)
        self._asked: set[Digest] = set()
        self._changed = asyncio.Event()
        self._done = 0

    @property
    def total(self) -> int:
        """Lines of the file."""
        return self._plan.total

    async def run(self, since_ms: int) -> None:
        """Until every line has its result. `since_ms`: from when on earlier outcomes count, as time stamp."""
        starts = await self._bus.end_offsets(_OUTCOMES)
        conflicts = await self._bus.end_offsets(_CONFLICTS)
        self._done = sum(self._results.has(number) for number, _ in self._lines())
        self._tell()
        await self._find_earlier(since_ms)
        await first_failure(
            asyncio.create_task(tell_new(self._bus, _OUTCOMES, starts, self._hear_outcome)),
            asyncio.create_task(tell_new(self._bus, _CONFLICTS, conflicts, self._hear_conflict)),
            asyncio.create_task(self._ask_all()),
        )

    async def _find_earlier(self, since_ms: int) -> None:
        if all(self._results.has(n) for numbers in self._plan.lines.values() for n in numbers):
            return
        for topic in topics_of(ResponseReady):
            async for record in recent(self._bus, topic.name, since_ms):
                self._hear_outcome(record)

    async def _ask_all(self) -> None:
        producer = await self._bus.producer()
        try:
            for number, raw in self._lines():
                if not self._results.has(number):
                    await self._take(read_line(number, raw, self._label), number, producer)
            while self._asked:
                self._changed.clear()
                await self._changed.wait()
        finally:
            await producer.stop()

    async def _take(self, line: Line | Refusal, number: int, producer: Producer) -> None:
        if isinstance(line, Refusal):
            self._write(number, refused(line))
        elif (first := self._plan.conflicts.get(number)) is not None:
            self._write(number, refused(conflict(number, line.prompt_id, first)))
        elif line.identity not in self._asked:
            await self._ask(line, producer)

    async def _ask(self, line: Line, producer: Producer) -> None:
        await self._slots.acquire()
        if self._results.has(line.number):
            # An interrupted run asked it, and the outcome came meanwhile: asked again, there would be no other.
            self._slots.release()
            return
        self._asked.add(line.identity)
        await (await producer.send(_outgoing(line.prompt)))

    def _hear_outcome(self, record: Record) -> None:
        identity = _identity(record)
        if identity is None or identity not in self._plan.lines or record.value is None:
            return
        outcome = ResponseReady.model_validate_json(record.value)
        for number in self._plan.lines[identity]:
            self._write(number, result_of(number, outcome))
        self._free(identity)

    def _hear_conflict(self, record: Record) -> None:
        """The id was used before this run for something else: there will be no outcome."""
        found = salvage(record)
        if found is None or header(record, "dlq_code") != b"idempotency_conflict":
            return
        prompt_id = str(found["prompt_id"])
        identity = digest(str(found["tenant"]), prompt_id)
        if identity not in self._asked:
            return
        reason = (header(record, "dlq_reason") or b"").decode(errors="replace")
        for number in self._plan.lines[identity]:
            self._write(number, refused(Refusal(number, prompt_id, "idempotency_conflict", f"line {number}: {reason}")))
        self._free(identity)

    def _write(self, number: int, body: dict[str, Any]) -> None:
        if not self._results.has(number):
            self._results.write(number, body)
            self._done += 1
            self._tell()

    def _free(self, identity: Digest) -> None:
        if identity in self._asked:
            self._asked.discard(identity)
            self._slots.release()
            self._changed.set()

    def _tell(self) -> None:
        self._progress.advance(self._done, self.total, f"{len(self._asked)} in flight")


def _outgoing(prompt: PromptSubmitted) -> Outgoing:
    event_id = f"{prompt.tenant}/{prompt.prompt_id}"
    return Outgoing(_ASK, prompt.key.encode(), encode(prompt), headers_for(prompt, event_id, "console"))


def _identity(record: Record) -> Digest | None:
    try:
        body = json.loads(record.value or b"")
        return digest(body["tenant"], body["prompt_id"])
    except (ValueError, KeyError, TypeError):
        return None
