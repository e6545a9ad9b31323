"""Facts into tables, many in one transaction: what is there is read, merged by the domain's rules, and written back."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, tuple_
from sqlalchemy import select as read
from sqlalchemy.dialects import postgresql, sqlite

from services.feedback.adapters.sql_tables import CHANGED, ERASED, PIECES, SAID, WITHDRAWN, micros, moment_of
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
    rows = [{**key._asdict(), "version": 1, "since_us": micros(now)} for key in sorted(set(keys))]
    if rows:
        statement = _insert(connection, CHANGED)
        again = statement.on_conflict_do_update(
            index_elements=["tenant", "response_id"], set_={"version": CHANGED.c.version + 1}
        )
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
    names = {(fact.tenant, fact.feedback_id) for fact in facts}
    rows = [{"tenant": t, "feedback_id": f, "noted_us": micros(now)} for t, f in names]
    connection.execute(_insert(connection, WITHDRAWN).on_conflict_do_nothing(), rows)
    found = _held(connection, tuple_(SAID.c.tenant, SAID.c.feedback_id).in_(names))
    return _empty(connection, found)


def _note_erased(connection: Connection, facts: Sequence[Erased]) -> set[CaseKey]:
    if not facts:
        return set()
    erasures = erasures_of(connection, {(fact.tenant, fact.subject_key) for fact in facts})
    for fact in facts:
        key = fact.tenant, fact.subject_key
        erasures[key] = later_erasure(erasures.get(key), fact)
    upsert(
        connection,
        ERASED,
        [{"tenant": t, "subject_key": s, "erased_us": micros(at)} for (t, s), at in erasures.items()],
    )
    found = _held(connection, tuple_(SAID.c.tenant, SAID.c.subject_key).in_(list(erasures)))
    return _empty(connection, [s for s in found if falls_under(s, erasures[s.case.tenant, s.subject_key or ""])])


def erasures_of(connection: Connection, people: Iterable[tuple[str, str]]) -> dict[tuple[str, str], datetime]:
    """When each of these people was erased last, where he was."""
    query = read(ERASED).where(tuple_(ERASED.c.tenant, ERASED.c.subject_key).in_(list(people)))
    return {(row.tenant, row.subject_key): moment_of(row.erased_us) for row in connection.execute(query)}


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
    keys = {(*fact.case, fact.feedback_id) for fact in facts}
    query = read(SAID.c.body, SAID.c.state).where(
        tuple_(SAID.c.tenant, SAID.c.response_id, SAID.c.feedback_id).in_(keys)
    )
    held = {(*s.case, s.feedback_id): s for s in (said_of(r.body, r.state) for r in connection.execute(query))}
    latest = dict(held)
    for fact in facts:
        key = (*fact.case, fact.feedback_id)
        latest[key] = later_said(latest.get(key), fact)
    fresh = [said for key, said in latest.items() if said is not held.get(key)]
    standing = _as_they_stand(connection, fresh)
    upsert(connection, SAID, [_row_of(said) for said in standing])
    return _concerned([*standing, *(held[k] for s in standing if (k := (*s.case, s.feedback_id)) in held)])


def _as_they_stand(connection: Connection, fresh: Sequence[Said]) -> list[Said]:
    if not fresh:
        return []
    names = {(said.case.tenant, said.feedback_id) for said in fresh}
    query = read(WITHDRAWN).where(tuple_(WITHDRAWN.c.tenant, WITHDRAWN.c.feedback_id).in_(names))
    withdrawn = {(row.tenant, row.feedback_id) for row in connection.execute(query)}
    erasures = erasures_of(connection, {(s.case.tenant, s.subject_key) for s in fresh if s.subject_key is not None})
    return [
        as_it_stands(
            said,
            withdrawn=(said.case.tenant, said.feedback_id) in withdrawn,
            erased_at=erasures.get((said.case.tenant, said.subject_key or "")),
        )
        for said in fresh
    ]


def _row_of(said: Said) -> Row:
    return {
        **said.case._asdict(),
        "feedback_id": said.feedback_id,
        "subject_key": said.subject_key,
        "other": said.other,
        "state": said.state,
        "digest": said.digest,
        "empty": said.origin is None,
        "received_us": micros(said.received_at),
        "body": said.model_dump_json(),
    }


def _note_pieces(connection: Connection, facts: Sequence[_Piece], now: datetime) -> set[CaseKey]:
    if not facts:
        return set()
    names = {name_of(fact) for fact in facts}
    columns = (PIECES.c.tenant, PIECES.c.response_id, PIECES.c.kind, PIECES.c.place)
    query = read(*columns, PIECES.c.body).where(tuple_(*columns).in_(names))
    held = {tuple(row[:4]): piece_of(row.kind, row.body) for row in connection.execute(query)}
    latest = dict(held)
    for fact in facts:
        latest[name_of(fact)] = _merged(latest.get(name_of(fact)), fact)
    fresh = [piece for name, piece in latest.items() if piece is not held.get(name)]
    upsert(connection, PIECES, [_piece_row(piece, now) for piece in fresh])
    return _judged(connection, {piece.case for piece in fresh})


def name_of(piece: _Piece) -> tuple[str, str, str, str]:
    """Which row holds it."""
    match piece:
        case PromptSeen():
            return (*piece.case, "prompt", piece.place)
        case AnswerSeen():
            return (*piece.case, "answer", piece.place)
        case OutcomeSeen():
            return (*piece.case, "outcome", "")


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
    tenant, response_id, kind, place = name_of(piece)
    return {
        "tenant": tenant,
        "response_id": response_id,
        "kind": kind,
        "place": place,
        "body": piece.model_dump_json(),
        "created_us": micros(piece.created_at) if isinstance(piece, OutcomeSeen) else None,
        "noted_us": micros(now),
    }


def _judged(connection: Connection, keys: set[CaseKey]) -> set[CaseKey]:
    """Those that anybody has said something about: nothing follows for the others yet."""
    if not keys:
        return set()
    about = read(SAID.c.tenant, SAID.c.response_id).where(tuple_(SAID.c.tenant, SAID.c.response_id).in_(keys))
    naming = read(SAID.c.tenant, SAID.c.other).where(tuple_(SAID.c.tenant, SAID.c.other).in_(keys))
    return {CaseKey(*row) for query in (about, naming) for row in connection.execute(query.distinct())}
