"""Facts on disk, in a private temporary database that has no name and is gone with the process: memory stays bounded.

SQLite sorts them by prompt outside of memory. No text in clear is kept: facts are digests, cleared texts are masked.
Its folder is the system's temporary one (`SQLITE_TMPDIR`, `TMPDIR`).
"""

import sqlite3
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from libs.audit._facts import Fact, Place
from libs.audit._order import Turn
from libs.audit._path import COMPLETION_CLEARED, GENERATED, kind_of, lane_of
from libs.audit._report import Finding
from libs.audit._texts import ClearedText
from schemas.base import Lane
from schemas.topics import CATALOGUE

_CACHE_KB = 32 * 1024
_AT_ONCE = 2000
_NAMES = tuple(topic.name for topic in CATALOGUE)
_NUMBERS = {name: number for number, name in enumerate(_NAMES)}
_KINDS = tuple(map(kind_of, _NAMES))
_UNKNOWN = "an unknown topic"
_FACT = "tenant, prompt_id, topic, part, off, ms, id, source, ctopic, cpart, coff, key, body, decision, status, agrees"
_TABLES = f"""
    CREATE TABLE facts ({_FACT});
    CREATE TABLE nameless ({_FACT}, about_topic, about_part, about_off);
    CREATE TABLE cleared (at INTEGER PRIMARY KEY, cause INTEGER, digest, text, json, cut);
    CREATE INDEX cleared_cause ON cleared (cause);
    CREATE TABLE strayed (at INTEGER PRIMARY KEY);
    CREATE TABLE turns (tenant, prompt_id, topic, part, off, key, stages);
    CREATE TABLE lost (tenant, prompt_id, topic, part, off, says, PRIMARY KEY (tenant, prompt_id)) WITHOUT ROWID;
"""
_MARKS = ", ".join("?" * 16)


class Ledger:
    """One check's facts."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE", f"cache_size=-{_CACHE_KB}"):
            self._db.execute(f"PRAGMA {pragma}")
        self._db.executescript(_TABLES)
        self._db.execute("BEGIN")
        self._facts: list[tuple[Any, ...]] = []
        self._turns: list[tuple[Any, ...]] = []
        self._any_strayed = False
        self.size = 0

    def close(self) -> None:
        """The database vanishes."""
        self._db.close()

    def add(self, fact: Fact) -> None:
        """A fact of a prompt."""
        self.size += 1
        self._facts.append(_row(fact))
        if len(self._facts) >= _AT_ONCE:
            self._write_facts()

    def add_nameless(self, fact: Fact) -> None:
        """A fact of no prompt, filed under the record it is about."""
        about = fact.cause if fact.kind is None and fact.cause is not None else fact.place
        row = (*_row(fact), _NUMBERS.get(about.topic, -2), about.partition, about.offset)
        self._db.execute(f"INSERT INTO nameless VALUES ({_MARKS}, ?, ?, ?)", row)  # noqa: S608 - no value is in it

    def by_prompt(self) -> Iterator[list[Fact]]:
        """All facts of one prompt after the other, each in the order of the path."""
        self._write_facts()
        rows = self._db.execute("SELECT * FROM facts ORDER BY tenant, prompt_id, topic, part, off")
        return ([self._compared(_fact(row)) for row in group] for _, group in groupby(rows, key=lambda row: row[:2]))

    def _compared(self, fact: Fact) -> Fact:
        if not self._any_strayed or fact.kind != COMPLETION_CLEARED:
            return fact
        row = self._db.execute(
            "SELECT 1 FROM strayed WHERE at = ?", (_code(fact.place, COMPLETION_CLEARED),)
        ).fetchone()
        return fact if row is None else fact.but(agrees=False)

    def nameless(self) -> Iterator[Fact]:
        """Facts of no prompt, by the record they are about."""
        return map(_fact, self._db.execute("SELECT * FROM nameless ORDER BY about_topic, about_part, about_off"))

    # -- cleared texts ------------------------------------------------------------------------------------------

    def add_cleared(self, fact: Fact, text: ClearedText) -> None:
        """What safety let pass there."""
        row = (_code(fact.place, COMPLETION_CLEARED), _code(fact.cause, GENERATED), text.digest, text.text)
        self._db.execute("INSERT OR IGNORE INTO cleared VALUES (?, ?, ?, ?, ?, ?)", (*row, text.json, text.cut))

    def cleared_at(self, place: Place | None) -> ClearedText | None:
        """The text that was cleared there, if any was."""
        found = self._cleared("at", _code(place, COMPLETION_CLEARED))
        return found[0][1] if found else None

    def compare(self, generated: Place, agrees: Callable[[ClearedText], bool]) -> None:
        """Notes which clearances of the text generated there are of another text."""
        for at, text in self._cleared("cause", _code(generated, GENERATED)):
            if not agrees(text):
                self._any_strayed = True
                self._db.execute("INSERT INTO strayed VALUES (?)", (at,))

    def _cleared(self, column: str, code: int | None) -> list[tuple[int, ClearedText]]:
        if code is None:
            return []
        sql = f"SELECT at, digest, text, json, cut FROM cleared WHERE {column} = ?"  # noqa: S608 - no value is in it
        rows = self._db.execute(sql, (code,)).fetchall()
        return [(at, ClearedText(digest, text, bool(json), bool(cut))) for at, digest, text, json, cut in rows]

    # -- order --------------------------------------------------------------------------------------------------

    def add_turn(self, turn: Turn) -> None:
        """A prompt's place in its conversation."""
        stages = ";".join(
            "" if place is None else f"{_NUMBERS[place.topic]},{place[1]},{place[2]}" for place in turn.stages
        )
        number, part, off = _NUMBERS[turn.submitted.topic], turn.submitted.partition, turn.submitted.offset
        self._turns.append((turn.tenant, turn.prompt_id, number, part, off, turn.key, stages))
        if len(self._turns) >= _AT_ONCE:
            self._write_turns()

    def turns(self) -> Iterator[Turn]:
        """By conversation, then by submission."""
        self._write_turns()
        return map(_turn, self._db.execute("SELECT * FROM turns ORDER BY topic, part, key, off"))

    # -- lost ---------------------------------------------------------------------------------------------------

    def add_lost(self, finding: Finding) -> None:
        """A prompt that seems lost."""
        place = finding.place
        row = (finding.tenant, finding.prompt_id, _NUMBERS[place.topic], place.partition, place.offset, finding.says)
        self._db.execute("INSERT OR IGNORE INTO lost VALUES (?, ?, ?, ?, ?, ?)", row)

    def drop_lost(self, tenant: str, prompt_id: str) -> bool:
        """It was found after all; whether it had seemed lost."""
        found = self._db.execute("DELETE FROM lost WHERE tenant = ? AND prompt_id = ?", (tenant, prompt_id))
        return found.rowcount > 0

    def lost(self) -> Iterator[Finding]:
        """What stays lost."""
        for tenant, prompt_id, topic, part, off, says in self._db.execute("SELECT * FROM lost"):
            yield Finding("lost", tenant, prompt_id, Place(_NAMES[topic], part, off), says)

    def _write_facts(self) -> None:
        self._db.executemany(f"INSERT INTO facts VALUES ({_MARKS})", self._facts)  # noqa: S608 - no value is in it
        self._facts.clear()

    def _write_turns(self) -> None:
        self._db.executemany("INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?)", self._turns)
        self._turns.clear()


def _row(fact: Fact) -> tuple[Any, ...]:
    place, cause = fact.place, fact.cause
    return (
        fact.tenant, fact.prompt_id, _NUMBERS[place.topic], place.partition, place.offset, fact.timestamp, fact.id,
        fact.source, *((-1, -1, -1) if cause is None else (_NUMBERS.get(cause.topic, -2), *cause[1:])), fact.key,
        fact.body, fact.decision, fact.status, fact.agrees,
    )  # fmt: skip


def _fact(row: tuple[Any, ...]) -> Fact:
    tenant, prompt_id, topic, part, off, ms, name, source, ctopic, cpart, coff, key, body, decision, status, agrees = (
        row[:16]
    )
    cause = None if ctopic == -1 else Place(_NAMES[ctopic] if ctopic >= 0 else _UNKNOWN, cpart, coff)
    place = Place(_NAMES[topic], part, off)
    agreed = None if agrees is None else bool(agrees)
    return Fact(place, _KINDS[topic], tenant, prompt_id, ms, name, source, cause, key, body, decision, status, agreed)


def _turn(row: tuple[Any, ...]) -> Turn:
    tenant, prompt_id, topic, part, off, key, stages = row
    return Turn(tenant, prompt_id, key, Place(_NAMES[topic], part, off), tuple(map(_stage, stages.split(";"))))


def _stage(text: str) -> Place | None:
    if not text:
        return None
    topic, part, off = map(int, text.split(","))
    return Place(_NAMES[topic], part, off)


def _code(place: Place | None, kind: str) -> int | None:
    """A place of that kind's two topics as one number. None: it is of another topic."""
    if place is None or kind_of(place.topic) != kind or place.partition >= 1 << 14 or place.offset >= 1 << 48:
        return None
    return (lane_of(place.topic) == Lane.BATCH.value) << 62 | place.partition << 48 | place.offset
