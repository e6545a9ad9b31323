"""The database behind the store: SQLite for one process, PostgreSQL for several instances.

Writing transactions come one after the other, also between instances: what one of them reads, no other changes.
"""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from libs.bus import Retryable
from services.feedback.adapters.sql_tables import METADATA

_WRITER, _RECORDER = 7_261_481, 7_261_482
"""PostgreSQL's advisory locks are numbers: one for whoever writes, one for whoever records examples."""


class StoreInUse(RuntimeError):  # noqa: N818 - named after what is the case
    """Another process has the SQLite file."""


class Database:
    """One database. Nothing is opened before `open`."""

    def __init__(self, url: str) -> None:
        self._url = _with_driver(make_url(url))
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._held: int | None = None
        self._leading: Connection | None = None

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._url.get_backend_name()

    def open(self) -> None:
        """Makes missing tables. Raises StoreInUse, Retryable."""
        if self.dialect == "sqlite":
            self._held = _hold(Path(self._url.database or ":memory:"))
            self._engine = create_engine(
                self._url, poolclass=StaticPool, connect_args={"check_same_thread": False, "isolation_level": None}
            )
            event.listen(self._engine, "connect", _prepare)
            event.listen(self._engine, "begin", _begin_at_once)
        else:
            self._engine = create_engine(self._url, pool_pre_ping=True, pool_size=2)
        with self.transaction() as connection:
            METADATA.create_all(connection)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """All or nothing, and alone. Raises Retryable where the database is away."""
        assert self._engine is not None
        with self._lock, _away_is_retryable(), self._engine.begin() as connection:
            if self.dialect == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _WRITER})
            yield connection

    def leads(self) -> bool:
        """Whether this instance is the one that records examples."""
        if self.dialect == "sqlite":
            return True
        assert self._engine is not None
        with self._lock, _away_is_retryable():
            try:
                if self._leading is None:
                    self._leading = _lead(self._engine)
                else:
                    self._leading.execute(text("SELECT 1"))
            except DBAPIError:
                self._let_go()
                raise
        return self._leading is not None

    def close(self) -> None:
        """Closes what is open."""
        with self._lock:
            self._let_go()
            if self._engine is not None:
                self._engine.dispose()
            if self._held is not None:
                os.close(self._held)
                self._held = None

    def _let_go(self) -> None:
        leading, self._leading = self._leading, None
        if leading is not None:
            leading.invalidate()
            leading.close()


def _with_driver(url: URL) -> URL:
    if url.drivername in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError(f"the store of feedback is SQLite or PostgreSQL, not {url.get_backend_name()}")
    return url


def _hold(file: Path) -> int | None:
    """Keeps other processes away from a file, and people out of it: it holds clear text."""
    if str(file) == ":memory:":
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
    held = os.open(file.with_name(f"{file.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise StoreInUse(
            f"{file} is in use by another process: for several instances name a PostgreSQL database in "
            "TAILRACE_FEEDBACK_STORE_URL"
        ) from None
    return held


def _prepare(connection: Any, _: object) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_at_once(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _lead(engine: Engine) -> Connection | None:
    """A connection that holds the lock for as long as it lives; None: another instance's does."""
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    if connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": _RECORDER}).scalar_one():
        return connection
    connection.close()
    return None


@contextmanager
def _away_is_retryable() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise Retryable(f"the store of feedback is away ({type(error).__name__})") from error
