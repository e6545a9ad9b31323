"""The tables of the store, the same in SQLite and PostgreSQL. Moments are microseconds since the epoch."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Ordered by code point everywhere, so that judgements stand in one order whatever the database.
_PLAIN = String().with_variant(String(collation="C"), "postgresql")


def _key() -> list[Column[str]]:
    return [Column("tenant", _PLAIN, primary_key=True), Column("response_id", _PLAIN, primary_key=True)]


PIECES = Table(
    "feedback_pieces",
    METADATA,
    *_key(),
    Column("kind", _PLAIN, primary_key=True),  # prompt, answer or outcome
    Column("place", _PLAIN, primary_key=True),
    Column("body", Text, nullable=False),
    Column("created_us", BigInteger),  # of an outcome
    Column("noted_us", BigInteger, nullable=False),
)
Index("feedback_pieces_by_age", PIECES.c.kind, PIECES.c.noted_us)

SAID = Table(
    "feedback_said",
    METADATA,
    *_key(),
    Column("feedback_id", _PLAIN, primary_key=True),
    Column("subject_key", _PLAIN),
    Column("other", _PLAIN),
    Column("state", _PLAIN, nullable=False),
    Column("digest", _PLAIN, nullable=False),
    Column("empty", Boolean, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
Index("feedback_said_by_id", SAID.c.tenant, SAID.c.feedback_id)
Index("feedback_said_by_subject", SAID.c.tenant, SAID.c.subject_key)
Index("feedback_said_by_other", SAID.c.tenant, SAID.c.other)
Index("feedback_said_by_state", SAID.c.state, SAID.c.received_us)

WITHDRAWN = Table(
    "feedback_withdrawn",
    METADATA,
    Column("tenant", _PLAIN, primary_key=True),
    Column("feedback_id", _PLAIN, primary_key=True),
    Column("noted_us", BigInteger, nullable=False),
)

ERASED = Table(
    "feedback_erased",
    METADATA,
    Column("tenant", _PLAIN, primary_key=True),
    Column("subject_key", _PLAIN, primary_key=True),
    Column("erased_us", BigInteger, nullable=False),
)

CHANGED = Table(
    "feedback_changed",
    METADATA,
    *_key(),
    Column("version", Integer, nullable=False),
    Column("since_us", BigInteger, nullable=False),
)
Index("feedback_changed_by_age", CHANGED.c.since_us)

PUBLISHED = Table("feedback_published", METADATA, *_key(), Column("digest", _PLAIN, nullable=False))


def micros(moment: datetime) -> int:
    """A moment as the tables have it; exact, unlike a float's."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(value: int) -> datetime:
    """The moment again, in UTC."""
    return _EPOCH + timedelta(microseconds=value)
