"""The tables of the store, the same in SQLite and PostgreSQL. Moments are microseconds since the epoch."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text

from services.feedback.domain.facts import CaseKey

METADATA = MetaData()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SEPARATOR = "\x1f"
"""No id holds it: control characters are rejected."""
# Ordered by code point everywhere, so that judgements stand in one order whatever the database.
_PLAIN = String().with_variant(String(collation="C"), "postgresql")


PIECES = Table(
    "feedback_pieces",
    METADATA,
    Column("id", _PLAIN, primary_key=True),  # key, kind, place
    Column("key", _PLAIN, nullable=False),
    Column("kind", _PLAIN, nullable=False),  # prompt, answer or outcome
    Column("body", Text, nullable=False),
    Column("created_us", BigInteger),  # of an outcome
    Column("noted_us", BigInteger, nullable=False),
    Index("feedback_pieces_by_key", "key"),
    Index("feedback_pieces_by_age", "kind", "noted_us"),
    Index("feedback_pieces_by_time", "kind", "created_us"),
)

SAID = Table(
    "feedback_said",
    METADATA,
    Column("id", _PLAIN, primary_key=True),  # key, feedback_id
    Column("key", _PLAIN, nullable=False),
    Column("feedback_id", _PLAIN, nullable=False),
    Column("name", _PLAIN, nullable=False),  # tenant, feedback_id
    Column("subject_key", _PLAIN),
    Column("other", _PLAIN),  # the key of what a choice names
    Column("state", _PLAIN, nullable=False),
    Column("digest", _PLAIN, nullable=False),
    Column("empty", Boolean, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("feedback_said_by_key", "key", "feedback_id"),
    Index("feedback_said_by_name", "name"),
    Index("feedback_said_by_subject", "subject_key"),
    Index("feedback_said_by_other", "other"),
    Index("feedback_said_by_state", "state", "received_us"),
    Index("feedback_said_by_age", "empty", "received_us"),
)

WITHDRAWN = Table(
    "feedback_withdrawn",
    METADATA,
    Column("name", _PLAIN, primary_key=True),
    Column("noted_us", BigInteger, nullable=False),
    Index("feedback_withdrawn_by_age", "noted_us"),
)

ERASED = Table(
    "feedback_erased",
    METADATA,
    Column("subject_key", _PLAIN, primary_key=True),
    Column("erased_us", BigInteger, nullable=False),
)

CHANGED = Table(
    "feedback_changed",
    METADATA,
    Column("key", _PLAIN, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Index("feedback_changed_by_age", "since_us"),
)

PUBLISHED = Table(
    "feedback_published", METADATA, Column("key", _PLAIN, primary_key=True), Column("digest", _PLAIN, nullable=False)
)


def joined(*parts: str) -> str:
    """Several names as one. SQLite finds many rows by an index only where the key is one column."""
    return _SEPARATOR.join(parts)


def case_key(key: str) -> CaseKey:
    """The case of a `key`."""
    return CaseKey(*key.split(_SEPARATOR))


def micros(moment: datetime) -> int:
    """A moment as the tables have it; exact, unlike a float's."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(value: int) -> datetime:
    """The moment again, in UTC."""
    return _EPOCH + timedelta(microseconds=value)
