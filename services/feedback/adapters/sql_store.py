"""The store in SQLite or PostgreSQL: the same tables and the same statements in both."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, tuple_, update
from sqlalchemy import delete as remove
from sqlalchemy import select as read

from services.feedback.adapters.sql_engine import Database
from services.feedback.adapters.sql_noting import note, piece_of, said_of, upsert
from services.feedback.adapters.sql_sweeping import sweep
from services.feedback.adapters.sql_tables import CHANGED, PIECES, PUBLISHED, SAID
from services.feedback.domain.cases import Case
from services.feedback.domain.facts import AnswerSeen, CaseKey, Fact, OutcomeSeen, PromptSeen, Said
from services.feedback.domain.judging import Rules
from services.feedback.ports import Change, Settled

_ANSWERED = ("prompt", "answer")


class SqlStore:
    """`Store` in a database."""

    def __init__(self, url: str) -> None:
        self._database = Database(url)

    def open(self) -> None:
        self._database.open()

    def close(self) -> None:
        self._database.close()

    def note(self, facts: Sequence[Fact], now: datetime) -> None:
        with self._database.transaction() as connection:
            note(connection, facts, now)

    def changed(self, limit: int) -> Sequence[Change]:
        if not self._database.leads():
            return ()
        query = read(CHANGED).order_by(CHANGED.c.since_us, CHANGED.c.tenant, CHANGED.c.response_id).limit(limit)
        with self._database.transaction() as connection:
            return [Change(CaseKey(row.tenant, row.response_id), row.version) for row in connection.execute(query)]

    def cases(self, keys: Sequence[CaseKey], judgements: int) -> Sequence[Case]:
        if not keys:
            return ()
        with self._database.transaction() as connection:
            reading = _Reading(connection, keys, judgements)
            return [reading.case(key) for key in keys]

    def settle(self, settled: Sequence[Settled]) -> None:
        with self._database.transaction() as connection:
            for each in settled:
                _settle(connection, each)

    def sweep(self, now: datetime, rules: Rules, limit: int) -> int:
        if not self._database.leads():
            return 0
        with self._database.transaction() as connection:
            return sweep(connection, now, rules, limit)


class _Reading:
    """Some cases at once."""

    def __init__(self, connection: Connection, keys: Sequence[CaseKey], judgements: int) -> None:
        self._connection, self._judgements = connection, judgements
        self._prompts: dict[CaseKey, dict[str, PromptSeen]] = defaultdict(dict)
        self._answers: dict[CaseKey, dict[str, AnswerSeen]] = defaultdict(dict)
        self._outcomes: dict[CaseKey, OutcomeSeen] = {}
        pieces = read(PIECES.c.kind, PIECES.c.body).where(tuple_(PIECES.c.tenant, PIECES.c.response_id).in_(keys))
        for row in connection.execute(pieces):
            self._take(row.kind, row.body)
        naming = read(SAID.c.tenant, SAID.c.other).where(tuple_(SAID.c.tenant, SAID.c.other).in_(keys)).distinct()
        self._named = {CaseKey(*row) for row in connection.execute(naming)}
        published = read(PUBLISHED).where(tuple_(PUBLISHED.c.tenant, PUBLISHED.c.response_id).in_(keys))
        self._published = {CaseKey(r.tenant, r.response_id): r.digest for r in connection.execute(published)}

    def _take(self, kind: str, body: str) -> None:
        match piece_of(kind, body):
            case PromptSeen() as prompt:
                self._prompts[prompt.case][prompt.place] = prompt
            case AnswerSeen() as answer:
                self._answers[answer.case][answer.place] = answer
            case OutcomeSeen() as outcome:
                self._outcomes[outcome.case] = outcome

    def case(self, key: CaseKey) -> Case:
        said, more = self._said(key)
        return Case(
            key,
            self._prompts.get(key, {}),
            self._answers.get(key, {}),
            self._outcomes.get(key),
            said,
            more,
            key in self._named,
            self._published.get(key),
        )

    def _said(self, key: CaseKey) -> tuple[tuple[Said, ...], int]:
        own = (SAID.c.tenant == key.tenant, SAID.c.response_id == key.response_id)
        query = read(SAID.c.body, SAID.c.state).where(*own).order_by(SAID.c.feedback_id).limit(self._judgements)
        said = tuple(said_of(row.body, row.state) for row in self._connection.execute(query))
        if len(said) < self._judgements:
            return said, 0
        count = self._connection.execute(read(func.count()).select_from(SAID).where(*own)).scalar_one()
        return said, count - len(said)


def _settle(connection: Connection, settled: Settled) -> None:
    key, version = settled.change.key, settled.change.version
    here = key._asdict()
    if settled.published is None:
        connection.execute(remove(PUBLISHED).filter_by(**here))
    else:
        upsert(connection, PUBLISHED, [{**here, "digest": settled.published}])
    _note_states(connection, settled)
    for said in settled.forgotten:
        connection.execute(
            remove(SAID).where(~SAID.c.empty).filter_by(**here, feedback_id=said.feedback_id, digest=said.digest)
        )
    current = connection.execute(remove(CHANGED).filter_by(**here, version=version)).rowcount == 1
    if settled.retired and current:
        connection.execute(remove(SAID).filter_by(**here))
        connection.execute(remove(PIECES).where(PIECES.c.kind.in_(_ANSWERED)).filter_by(**here))


def _note_states(connection: Connection, settled: Settled) -> None:
    """Of those that are as they were; a version that came meanwhile is decided by itself."""
    new = [(said, state) for said, state in settled.states if said.state != state]
    if new:
        statement = update(SAID).where(
            SAID.c.tenant == bindparam("t"),
            SAID.c.response_id == bindparam("r"),
            SAID.c.feedback_id == bindparam("f"),
            SAID.c.digest == bindparam("d"),
            ~SAID.c.empty,
        )
        rows = [
            {"t": said.case.tenant, "r": said.case.response_id, "f": said.feedback_id, "d": said.digest, "state": state}
            for said, state in new
        ]
        connection.execute(statement, rows)
