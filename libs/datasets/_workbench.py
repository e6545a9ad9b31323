"""What a data set is made of while it is being made: a SQLite file beside it, so that memory stays bounded.

Holds examples, votes over pairs, rows, and links between conversations; decides nothing. The file is gone with the
work. SQLite sorts in the system's temporary folder (`SQLITE_TMPDIR`, `TMPDIR`).
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from libs.datasets._names import KINDS, Kind
from schemas.feedback import ExampleRecorded

_CACHE_KB = 64 * 1024
_TABLES = """
    CREATE TABLE examples (at INTEGER PRIMARY KEY, response_id TEXT UNIQUE, body TEXT);
    CREATE TABLE turns (subject INTEGER, mark INTEGER);
    CREATE TABLE capped (mark INTEGER PRIMARY KEY);
    CREATE TABLE answers (tenant TEXT, prompt BLOB, text BLOB, up INTEGER, mark INTEGER, at INTEGER);
    CREATE TABLE choices (tenant TEXT, low TEXT, high TEXT, winner TEXT, body TEXT);
    CREATE TABLE rows (at INTEGER PRIMARY KEY, key BLOB UNIQUE, place BLOB, copies INTEGER, lineage TEXT, body TEXT);
    CREATE TABLE bands (band INTEGER, mark INTEGER, at INTEGER);
    CREATE TABLE dropped (at INTEGER PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE nodes (at INTEGER PRIMARY KEY, conversation BLOB UNIQUE);
    CREATE TABLE links (one INTEGER, other INTEGER);
    CREATE TABLE eldest (conversation BLOB PRIMARY KEY, of BLOB) WITHOUT ROWID;
"""


def digest(*parts: str) -> bytes:
    """16 bytes of SHA-256 over the parts."""
    return hashlib.sha256("\0".join(parts).encode()).digest()[:16]


def mark(*parts: str) -> int:
    """63 bits of the same, for orders that depend on nothing else."""
    return int.from_bytes(digest(*parts)[:8], "big") >> 1


class Workbench:
    """One making. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=FILE", f"cache_size=-{_CACHE_KB}"):
            self.db.execute(f"PRAGMA {pragma}")
        self.db.executescript(_TABLES)
        self.db.execute("BEGIN")

    def close(self) -> None:
        """What is left is nobody's."""
        self.db.close()

    # -- examples -----------------------------------------------------------------------------------------------

    def put(self, examples: Iterable[ExampleRecorded]) -> None:
        """Examples; of one response, the last state counts."""
        sql = "INSERT INTO examples (response_id, body) VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
        self.db.executemany(sql, ((example.response_id, example.model_dump_json()) for example in examples))

    def drop_example(self, response_id: str) -> None:
        """It is no more."""
        self.db.execute("DELETE FROM examples WHERE response_id = ?", (response_id,))

    def examples(self) -> Iterator[tuple[int, ExampleRecorded]]:
        """All of them, with their places here, as they came."""
        with closing(self.db.execute("SELECT at, body FROM examples ORDER BY at")) as rows:
            for at, body in rows:
                yield at, ExampleRecorded.model_validate_json(body)

    def example_at(self, at: int) -> ExampleRecorded:
        """The one at that place."""
        ((body,),) = self.db.execute("SELECT body FROM examples WHERE at = ?", (at,)).fetchall()
        return ExampleRecorded.model_validate_json(body)

    def example(self, response_id: str) -> ExampleRecorded | None:
        """The one of that response."""
        row = self.db.execute("SELECT body FROM examples WHERE response_id = ?", (response_id,)).fetchone()
        return None if row is None else ExampleRecorded.model_validate_json(row[0])

    # -- rows ---------------------------------------------------------------------------------------------------

    def insert_row(self, kind: Kind, row: str, case: bytes, lineage: str, body: str) -> str | None:
        """Adds a row; where it is here already, adds a copy to it and returns its lineage."""
        key = key_of(kind, row)
        sql = "INSERT OR IGNORE INTO rows (key, place, copies, lineage, body) VALUES (?, ?, 1, ?, ?)"
        if self.db.execute(sql, (key, case, lineage, body)).rowcount:
            return None
        self.db.execute("UPDATE rows SET copies = copies + 1 WHERE key = ?", (key,))
        known: str = self.db.execute("SELECT lineage FROM rows WHERE key = ?", (key,)).fetchone()[0]
        return known

    def set_lineage(self, kind: Kind, row: str, lineage: str) -> None:
        """Of a row that is here."""
        self.db.execute("UPDATE rows SET lineage = ? WHERE key = ?", (lineage, key_of(kind, row)))

    def rows(self) -> Iterator[tuple[Kind, str, str, str]]:
        """Kind, id, lineage and body of each row, by kind and id."""
        with closing(self.db.execute("SELECT key, lineage, body FROM rows ORDER BY key")) as rows:
            for key, lineage, body in rows:
                yield KINDS[key[0]], key[1:].hex(), lineage, body

    def drop_rows(self) -> int:
        """Takes out the rows that are noted in `dropped`; how many."""
        gone = self.db.execute("DELETE FROM rows WHERE at IN (SELECT at FROM dropped)").rowcount
        self.db.execute("DELETE FROM dropped")
        return gone


def key_of(kind: Kind, row: str) -> bytes:
    """Rows of one kind lie together, in the order of their ids."""
    return bytes((KINDS.index(kind),)) + bytes.fromhex(row)
