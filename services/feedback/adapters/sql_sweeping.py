"""What time changes in the tables: feedback that waited in vain, answers too old to matter; some at a time."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, and_, exists, or_
from sqlalchemy import delete as remove
from sqlalchemy import select as read

from services.feedback.adapters.sql_noting import mark
from services.feedback.adapters.sql_tables import CHANGED, PIECES, PUBLISHED, SAID, WITHDRAWN, case_key, micros
from services.feedback.domain.judging import Rules

_OTHER = SAID.alias("other")
_OUTCOME = PIECES.alias("outcome")


def sweep(connection: Connection, now: datetime, rules: Rules, limit: int) -> int:
    """Marks and removes; how many rows there were."""
    due = [case_key(key) for key in connection.execute(_expired(now - rules.wait).limit(limit)).scalars()]
    due += [case_key(key) for key in connection.execute(_aged(now - rules.keep_examples).limit(limit)).scalars()]
    mark(connection, due, now)
    return len(due) + sum(
        (
            _unjudged(connection, ("prompt", "answer"), now - rules.keep, limit),
            # When it was answered is known for longer, so that late feedback is told why it is late.
            _unjudged(connection, ("outcome",), now - 2 * rules.keep, limit),
            _shells(connection, now - rules.keep, limit),
            _withdrawals(connection, now - rules.keep_examples, limit),
        )
    )


def _expired(before: datetime) -> Any:
    waiting = and_(SAID.c.state == "waiting", SAID.c.received_us <= micros(before))
    return read(SAID.c.key).where(waiting, ~exists().where(_same(CHANGED, SAID))).distinct()


def _aged(before: datetime) -> Any:
    """Judged or published, and answered before that moment."""
    outcome = and_(PIECES.c.kind == "outcome", PIECES.c.created_us <= micros(before))
    judged = exists().where(_same(SAID, PIECES))
    marked = exists().where(_same(CHANGED, PIECES))
    published = exists().where(_same(PUBLISHED, PIECES))
    return read(PIECES.c.key).where(outcome, or_(judged, published), ~marked)


def _unjudged(connection: Connection, kinds: tuple[str, ...], before: datetime, limit: int) -> int:
    naming = exists().where(_OTHER.c.other == PIECES.c.key)
    judged = exists().where(_same(SAID, PIECES))
    old = and_(PIECES.c.kind.in_(kinds), PIECES.c.noted_us <= micros(before))
    return _remove(connection, PIECES, and_(old, ~judged, ~naming), limit)


def _shells(connection: Connection, before: datetime, limit: int) -> int:
    """What is left of judgements that were taken back, of responses that nobody knows."""
    known = exists().where(_same(_OUTCOME, SAID), _OUTCOME.c.kind == "outcome")
    return _remove(connection, SAID, and_(SAID.c.empty, SAID.c.received_us <= micros(before), ~known), limit)


def _withdrawals(connection: Connection, before: datetime, limit: int) -> int:
    return _remove(connection, WITHDRAWN, WITHDRAWN.c.noted_us <= micros(before), limit)


def _same(one: Any, other: Any) -> Any:
    return one.c.key == other.c.key


def _remove(connection: Connection, table: Table, condition: Any, limit: int) -> int:
    (name,) = table.primary_key
    old = list(connection.execute(read(name).where(condition).limit(limit)).scalars())
    if old:
        connection.execute(remove(table).where(name.in_(old)))
    return len(old)
