"""Facts into tables, many in one transaction: what is there is read, merged by the domain's rules, and written back."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy import select as read
from sqlalchemy.dialects import postgresql, sqlite

from services.feedback.adapters.sql_tables import (
    CHANGED,
    ERASED,
    PIECES,
    SAID,
    WITHDRAWN,
    case_key,
    joined,
    micros,
    moment_of,
)
from services.feedback.domain.facts import (
    AnswerSeen,
    CaseKey,
    Erased,
    Fact,
    OutcomeSeen,
    PromptSeen,
    Said,
    Withdrawn,
)
from services.feedback.domain.merging import (
    as_it_stands,
    falls_under,
    later_erasure,
    later_outcome,
    later_said,
    smaller,
)

Row = dict[str, Any]
_Piece = PromptSeen | AnswerSeen | OutcomeSeen


def note(connection: Connection, facts: Sequence[Fact], now: datetime) -> None:
    """Takes facts in, and marks the cases they change. The order within `facts` does not matter."""
    touched = {
        *_note_withdrawn(connection, [f for f in facts if isinstance(f, Withdrawn)], now),
        *_note_erased(connection, [f for f in facts if isinstance(f, Erased)]),
        *_note_said(connection, [f for f in facts if isinstance(f, Said)]),
        *_note_pieces(connection, [f for f in facts if isinstance(f, PromptSeen | AnswerSeen | OutcomeSeen)], now),
    }
    mark(connection, touched, now)


def mark(connection: Connection, keys: Iterable[CaseKey], now: datetime) -> None:
    """Something about these cases has changed."""
    rows = [{"key": joined(*key), "version": 1, "since_us": micros(now)} for key in sorted(set(keys))]
    if rows:
        statement = _insert(connection, CHANGED)
        again = statement.on_conflict_do_update(index_elements=["key"], set_={"version": CHANGED.c.version + 1})
        connection.execute(again, rows)


def said_of(body: str, state: str) -> Said:
    """A judgement as its row has it."""
    return Said.model_validate_json(body).model_copy(update={"state": state})


def upsert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Writes rows whole; those that are there are replaced."""
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    statement = _insert(connection, table)
    changes = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes), list(rows))


def _insert(connection: Connection, table: Table) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def _note_withdrawn(connection: Connection, facts: Sequence[Withdrawn], now: datetime) -> set[CaseKey]:
    if not facts:
        return set()
    names = sorted({joined(fact.tenant, fact.feedback_id) for fact in facts})
    rows = [{"name": name, "noted_us": micros(now)} for name in names]
    connection.execute(_insert(connection, WITHDRAWN).on_conflict_do_nothing(), rows)
    found = _held(connection, SAID.c.name.in_(names))
    return _empty(connection, found)


def _note_erased(connection: Connection, facts: Sequence[Erased]) -> set[CaseKey]:
    if not facts:
        return set()
    erasures = _erasures(connection, {fact.subject_key for fact in facts})
    for fact in facts:
        erasures[fact.subject_key] = later_erasure(erasures.get(fact.subject_key), fact)
    upsert(connection, ERASED, [{"subject_key": key, "erased_us": micros(at)} for key, at in erasures.items()])
    found = _held(connection, SAID.c.subject_key.in_(list(erasures)))
    return _empty(connection, [said for said in found if falls_under(said, erasures[said.subject_key or ""])])


def _erasures(connection: Connection, people: Iterable[str]) -> dict[str, datetime]:
    """When each of these people was erased last, where he was."""
    query = read(ERASED).where(ERASED.c.subject_key.in_(list(people)))
    return {row.subject_key: moment_of(row.erased_us) for row in connection.execute(query)}


def _held(connection: Connection, condition: Any) -> list[Said]:
    query = read(SAID.c.body, SAID.c.state).where(condition, ~SAID.c.empty)
    return [said_of(row.body, row.state) for row in connection.execute(query)]


def _empty(connection: Connection, found: Sequence[Said]) -> set[CaseKey]:
    upsert(connection, SAID, [_row_of(said.emptied()) for said in found])
    return _concerned(found)


def _concerned(found: Iterable[Said]) -> set[CaseKey]:
    """The cases a judgement has to do with: of a choice, both."""
    return {key for s in found for key in (s.case, CaseKey(s.case.tenant, s.other or "")) if key.response_id}


def _note_said(connection: Connection, facts: Sequence[Said]) -> set[CaseKey]:
    if not facts:
        return set()
    query = read(SAID.c.id, SAID.c.body, SAID.c.state).where(SAID.c.id.in_({said_id(fact) for fact in facts}))
    held = {row.id: said_of(row.body, row.state) for row in connection.execute(query)}
    latest = dict(held)
    for fact in facts:
        latest[said_id(fact)] = later_said(latest.get(said_id(fact)), fact)
    fresh = [said for key, said in latest.items() if said is not held.get(key)]
    standing = _as_they_stand(connection, fresh)
    upsert(connection, SAID, [_row_of(said) for said in standing])
    return _concerned([*standing, *(held[name] for said in standing if (name := said_id(said)) in held)])


def _as_they_stand(connection: Connection, fresh: Sequence[Said]) -> list[Said]:
    if not fresh:
        return []
    query = read(WITHDRAWN.c.name).where(WITHDRAWN.c.name.in_({_name(said) for said in fresh}))
    withdrawn = set(connection.execute(query).scalars())
    erasures = _erasures(connection, {said.subject_key for said in fresh if said.subject_key is not None})
    return [
        as_it_stands(
            said,
            withdrawn=_name(said) in withdrawn,
            erased_at=erasures.get(said.subject_key or ""),
        )
        for said in fresh
    ]


def said_id(said: Said) -> str:
    """Which row holds it."""
    return joined(*said.case, said.feedback_id)


def _name(said: Said) -> str:
    return joined(said.case.tenant, said.feedback_id)


def _row_of(said: Said) -> Row:
    return {
        "id": said_id(said),
        "key": joined(*said.case),
        "feedback_id": said.feedback_id,
        "name": _name(said),
        "subject_key": said.subject_key,
        "other": joined(said.case.tenant, said.other) if said.other is not None else None,
        "state": said.state,
        "digest": said.digest,
        "empty": said.origin is None,
        "received_us": micros(said.received_at),
        "body": said.model_dump_json(),
    }


def _note_pieces(connection: Connection, facts: Sequence[_Piece], now: datetime) -> set[CaseKey]:
    if not facts:
        return set()
    query = read(PIECES.c.id, PIECES.c.kind, PIECES.c.body).where(PIECES.c.id.in_({_piece_id(f) for f in facts}))
    held = {row.id: piece_of(row.kind, row.body) for row in connection.execute(query)}
    latest = dict(held)
    for fact in facts:
        latest[_piece_id(fact)] = _merged(latest.get(_piece_id(fact)), fact)
    fresh = [piece for name, piece in latest.items() if piece is not held.get(name)]
    upsert(connection, PIECES, [_piece_row(piece, now) for piece in fresh])
    return _judged(connection, {joined(*piece.case) for piece in fresh})


def _kind(piece: _Piece) -> tuple[str, str]:
    """Its kind, and which one of that kind it is."""
    match piece:
        case PromptSeen():
            return "prompt", piece.place
        case AnswerSeen():
            return "answer", piece.place
        case OutcomeSeen():
            return "outcome", ""


def _piece_id(piece: _Piece) -> str:
    return joined(*piece.case, *_kind(piece))


def piece_of(kind: str, body: str) -> _Piece:
    """What a row holds."""
    kinds: dict[str, type[_Piece]] = {"prompt": PromptSeen, "answer": AnswerSeen, "outcome": OutcomeSeen}
    return kinds[kind].model_validate_json(body)


def _merged(old: _Piece | None, new: _Piece) -> _Piece:
    match new:
        case PromptSeen():
            return smaller(old if isinstance(old, PromptSeen) else None, new)
        case OutcomeSeen():
            return later_outcome(old if isinstance(old, OutcomeSeen) else None, new)
        case AnswerSeen():
            return old or new


def _piece_row(piece: _Piece, now: datetime) -> Row:
    return {
        "id": _piece_id(piece),
        "key": joined(*piece.case),
        "kind": _kind(piece)[0],
        "body": piece.model_dump_json(),
        "created_us": micros(piece.created_at) if isinstance(piece, OutcomeSeen) else None,
        "noted_us": micros(now),
    }


def _judged(connection: Connection, keys: set[str]) -> set[CaseKey]:
    """Those that anybody has said something about: nothing follows for the others yet."""
    if not keys:
        return set()
    about = read(SAID.c.key).where(SAID.c.key.in_(keys))
    naming = read(SAID.c.other).where(SAID.c.other.in_(keys))
    return {case_key(key) for query in (about, naming) for key in connection.execute(query.distinct()).scalars()}
