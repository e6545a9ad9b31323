"""What was written about cases, noted in the tables: one statement for all of them."""

from collections.abc import Sequence

from sqlalchemy import Connection, Executable, Table, bindparam, update
from sqlalchemy import delete as remove

from services.feedback.adapters.sql_noting import Row, said_id, upsert
from services.feedback.adapters.sql_tables import CHANGED, PIECES, PUBLISHED, SAID, joined
from services.feedback.domain.cases import IN_DOUBT
from services.feedback.domain.facts import CaseKey, Said
from services.feedback.ports import Settled


def doubt(connection: Connection, keys: Sequence[CaseKey]) -> None:
    """Whatever these were published as no longer counts."""
    upsert(connection, PUBLISHED, [{"key": joined(*key), "digest": IN_DOUBT} for key in keys])


def settle(connection: Connection, settled: Sequence[Settled]) -> None:
    """A case that changed meanwhile stays marked, and is not retired; versions that came meanwhile stay as they are."""
    published = [{"key": _key(each), "digest": each.published} for each in settled if each.published is not None]
    upsert(connection, PUBLISHED, published)
    _run(connection, _delete(PUBLISHED), [_bound(each) for each in settled if each.published is None])
    changed = [(said, state) for each in settled for said, state in each.states if said.state != state]
    _run(connection, _NOTE_STATE, [{**_version(said), "state": state} for said, state in changed])
    _run(connection, _FORGET, [_version(said) for each in settled for said in each.forgotten])
    retired = [each for each in settled if each.retired]
    _run(connection, _UNMARK, [_marked(each) for each in settled if not each.retired])
    for each in retired:
        if connection.execute(_UNMARK, _marked(each)).rowcount == 1:
            connection.execute(_delete(SAID), _bound(each))
            connection.execute(_RETIRE, _bound(each))


def _run(connection: Connection, statement: Executable, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(statement, rows)


def _delete(table: Table) -> Executable:
    return remove(table).where(table.c.key == bindparam("k"))


def _key(settled: Settled) -> str:
    return joined(*settled.change.key)


def _bound(settled: Settled) -> Row:
    return {"k": _key(settled)}


def _marked(settled: Settled) -> Row:
    return {"k": _key(settled), "v": settled.change.version}


def _version(said: Said) -> Row:
    return {"i": said_id(said), "d": said.digest}


_AS_IT_WAS = (SAID.c.id == bindparam("i"), SAID.c.digest == bindparam("d"), ~SAID.c.empty)
_NOTE_STATE = update(SAID).where(*_AS_IT_WAS)
_FORGET = remove(SAID).where(*_AS_IT_WAS)
_UNMARK = remove(CHANGED).where(CHANGED.c.key == bindparam("k"), CHANGED.c.version == bindparam("v"))
_RETIRE = remove(PIECES).where(PIECES.c.key == bindparam("k"), PIECES.c.kind.in_(["prompt", "answer"]))
