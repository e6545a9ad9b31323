"""The store in SQLite or PostgreSQL: the same tables and the same statements in both."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func
from sqlalchemy import select as read

from services.feedback.adapters.sql_engine import Database
from services.feedback.adapters.sql_noting import note, piece_of, said_of
from services.feedback.adapters.sql_settling import doubt, settle
from services.feedback.adapters.sql_sweeping import sweep
from services.feedback.adapters.sql_tables import CHANGED, PIECES, PUBLISHED, SAID, case_key, joined
from services.feedback.domain.cases import Case
from services.feedback.domain.facts import AnswerSeen, CaseKey, Fact, OutcomeSeen, PromptSeen, Said
from services.feedback.domain.judging import Rules
from services.feedback.ports import Change, Settled


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
        query = read(CHANGED).order_by(CHANGED.c.since_us, CHANGED.c.key).limit(limit)
        with self._database.transaction() as connection:
            return [Change(case_key(row.key), row.version) for row in connection.execute(query)]

    def cases(self, keys: Sequence[CaseKey], judgements: int) -> Sequence[Case]:
        if not keys:
            return ()
        with self._database.transaction() as connection:
            reading = _Reading(connection, [joined(*key) for key in keys], judgements)
            return [reading.case(key) for key in keys]

    def doubt(self, keys: Sequence[CaseKey]) -> None:
        with self._database.transaction() as connection:
            doubt(connection, keys)

    def settle(self, settled: Sequence[Settled]) -> None:
        with self._database.transaction() as connection:
            settle(connection, settled)

    def sweep(self, now: datetime, rules: Rules, limit: int) -> int:
        if not self._database.leads():
            return 0
        with self._database.transaction() as connection:
            return sweep(connection, now, rules, limit)


class _Reading:
    """Some cases at once."""

    def __init__(self, connection: Connection, keys: Sequence[str], judgements: int) -> None:
        self._connection = connection
        self._prompts: dict[CaseKey, dict[str, PromptSeen]] = defaultdict(dict)
        self._answers: dict[CaseKey, dict[str, AnswerSeen]] = defaultdict(dict)
        self._outcomes: dict[CaseKey, OutcomeSeen] = {}
        pieces = read(PIECES.c.kind, PIECES.c.body).where(PIECES.c.key.in_(keys))
        for row in connection.execute(pieces):
            self._take(row.kind, row.body)
        self._said: dict[CaseKey, list[Said]] = defaultdict(list)
        self._more: dict[CaseKey, int] = defaultdict(int)
        self._take_said(keys, judgements)
        naming = read(SAID.c.other).where(SAID.c.other.in_(keys)).distinct()
        self._named = {case_key(key) for key in connection.execute(naming).scalars()}
        published = read(PUBLISHED).where(PUBLISHED.c.key.in_(keys))
        self._published = {case_key(row.key): row.digest for row in connection.execute(published)}

    def _take(self, kind: str, body: str) -> None:
        match piece_of(kind, body):
            case PromptSeen() as prompt:
                self._prompts[prompt.case][prompt.place] = prompt
            case AnswerSeen() as answer:
                self._answers[answer.case][answer.place] = answer
            case OutcomeSeen() as outcome:
                self._outcomes[outcome.case] = outcome

    def case(self, key: CaseKey) -> Case:
        return Case(
            key,
            self._prompts.get(key, {}),
            self._answers.get(key, {}),
            self._outcomes.get(key),
            tuple(self._said[key]),
            self._more[key],
            key in self._named,
            self._published.get(key),
        )

    def _take_said(self, keys: Sequence[str], judgements: int) -> None:
        place = func.row_number().over(partition_by=SAID.c.key, order_by=SAID.c.feedback_id).label("place")
        number = func.count().over(partition_by=SAID.c.key).label("of")
        columns = (SAID.c.key, SAID.c.feedback_id, SAID.c.body, SAID.c.state, place, number)
        numbered = read(*columns).where(SAID.c.key.in_(keys)).subquery()
        query = read(numbered).where(numbered.c.place <= judgements).order_by(numbered.c.feedback_id)
        for row in self._connection.execute(query):
            key = case_key(row.key)
            self._said[key].append(said_of(row.body, row.state))
            self._more[key] = max(0, row.of - judgements)
