"""Crashes between store and log, facts in shared transactions, and a store that is away."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from libs.bus import Outgoing, Retryable
from libs.service import Runtime
from libs.settings import ServiceSettings
from libs.telemetry import Traces
from services.feedback.adapters.group_commit import GroupCommit
from services.feedback.adapters.in_memory import InMemoryStore
from services.feedback.adapters.opened import opened
from services.feedback.adapters.recorder import Recorder, record
from services.feedback.adapters.sql_engine import StoreInUse
from services.feedback.adapters.sql_store import SqlStore
from services.feedback.app import create_app
from services.feedback.domain.facts import CaseKey, Fact
from services.feedback.ports import Change, Settled
from services.feedback.settings import FeedbackSettings
from tests.unit.feedback.parts import ANSWER, METRICS, NOON, Arrival, Desk, answered, erasure, feedback

STORY = [*answered(), Arrival(feedback("edit", "Better.")), Arrival(feedback("edit", ANSWER, feedback_id="f-2"), 1)]


class Killed(BaseException):
    """Here the process ends."""


class Fragile(InMemoryStore):
    """Ends at a chosen step, before or after it is done."""

    def __init__(self) -> None:
        super().__init__()
        self.dies_at: str | None = None

    def _step(self, name: str) -> None:
        if self.dies_at == name:
            self.dies_at = None
            raise Killed

    def changed(self, limit: int) -> Sequence[Change]:
        found = super().changed(limit)
        self._step("after changed")
        return found

    def doubt(self, keys: Sequence[CaseKey]) -> None:
        self._step("before doubt")
        super().doubt(keys)
        self._step("after doubt")

    def settle(self, settled: Sequence[Settled]) -> None:
        self._step("before settle")
        super().settle(settled)
        self._step("after settle")


class FragileProducer:
    """Writes so many records, then the process ends."""

    def __init__(self, desk: Desk, writes: int) -> None:
        self._desk, self._left = desk, writes

    async def send(self, outgoing: Outgoing) -> "asyncio.Future[object]":
        if self._left == 0:
            raise Killed
        self._left -= 1
        return await (await self._desk.bus.producer()).send(outgoing)

    async def flush(self) -> None:
        return None

    async def stop(self) -> None:
        return None


@pytest.mark.parametrize(
    "step", ["after changed", "before doubt", "after doubt", "before settle", "after settle", "write 0", "write 1"]
)
async def test_a_death_at_any_step_leads_to_the_same_records(step: str) -> None:
    undisturbed = await Desk(InMemoryStore()).after(*STORY)
    store = Fragile()
    desk = Desk(store)
    await desk.hear(*STORY)
    store.dies_at = step
    writes = int(step.removeprefix("write ")) if step.startswith("write") else 99
    with pytest.raises(Killed):
        await record(desk.tools, FragileProducer(desk, writes))
    await desk.settle()
    assert desk.examples == undisturbed.examples
    assert set(desk.letters) == set(undisturbed.letters)
    assert len({r.value for r in desk.bus.records("example-recorded")}) == 1


class Forgetful:
    """The process ends when the log has all of it, before anybody hears so."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def send(self, outgoing: Outgoing) -> "asyncio.Future[object]":
        await (await (await self._desk.bus.producer()).send(outgoing))
        unheard: asyncio.Future[object] = asyncio.Future()
        unheard.set_exception(Killed())
        return unheard

    async def flush(self) -> None:
        return None

    async def stop(self) -> None:
        return None


@pytest.mark.parametrize("before", [[Arrival(feedback("rating", 4, feedback_id="f-0"))], []], ids=["some", "none"])
async def test_what_leads_back_to_before_a_death_is_written_all_the_same(desk: Desk, before: list[Arrival]) -> None:
    """Written, killed before the store knew, then taken back: the log holds more than was ever settled."""
    await desk.after(*answered(), *before)
    settled = desk.examples
    await desk.hear(Arrival(feedback("edit", "Mary's.", subject="s-1"), 1))
    with pytest.raises(Killed):
        await record(desk.tools, Forgetful(desk))
    assert desk.examples != settled
    await desk.after(Arrival(erasure("s-1", "acme"), 2, at=NOON + timedelta(minutes=1)))
    assert not desk.example().judgements or desk.examples == settled
    assert "Mary" not in str(desk.examples)


async def test_what_comes_while_a_case_is_written_is_written_next(desk: Desk) -> None:
    await desk.hear(*STORY)
    changes = desk.store.changed(10)
    await desk.hear(Arrival(feedback("rating", 2, feedback_id="f-3"), 9))
    desk.store.settle([Settled(change, None) for change in changes])
    assert [change.key for change in desk.store.changed(10)] == [change.key for change in changes]


async def test_a_store_that_is_opened_again_knows_it_all(tmp_path: Path) -> None:
    for half in (STORY[:2], STORY[2:]):
        store = SqlStore(f"sqlite:///{tmp_path / 'feedback.db'}")
        async with opened(store):
            desk = await Desk(store).after(*half)
    assert len(desk.example().judgements) == 1


async def test_a_file_serves_one_process_and_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "feedback.db"
    first, second = SqlStore(f"sqlite:///{file}"), SqlStore(f"sqlite:///{file}")
    async with opened(first):
        assert file.stat().st_mode & 0o077 == 0
        with pytest.raises(StoreInUse, match="TAILRACE_FEEDBACK_STORE_URL"):
            second.open()
    async with opened(second):
        assert not second.changed(1)


class Counting(InMemoryStore):
    """Notes how many facts each transaction had; some facts it cannot hold, or it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.transactions: list[int] = []
        self.away = False

    def note(self, facts: Sequence[Fact], now: object) -> None:
        self.transactions.append(len(facts))
        if self.away:
            raise Retryable("away")
        if any("poison" in fact.model_dump_json() for fact in facts):
            raise ValueError("this fact cannot be held")


async def kept(store: Counting, count: int, poisoned: Sequence[int] = ()) -> list[BaseException | None]:
    """What became of so many facts that came at once."""
    desk = Desk(InMemoryStore())
    texts = ["poison" if n in poisoned else "fine" for n in range(count)]
    facts = await desk.facts([Arrival(feedback(feedback_id=text), n) for n, text in enumerate(texts)])
    async with GroupCommit(store, lambda: NOON, most=64, written=lambda: None) as intake:
        return await asyncio.gather(*(intake.keep(fact) for fact in facts), return_exceptions=True)


async def test_facts_that_come_together_share_a_transaction() -> None:
    store = Counting()
    assert await kept(store, 130) == [None] * 130
    assert store.transactions == [64, 64, 2]


async def test_a_fact_that_cannot_be_held_fails_alone() -> None:
    results = await kept(Counting(), 5, poisoned=[3])
    assert [type(result) for result in results] == [type(None)] * 3 + [ValueError, type(None)]


async def test_while_the_store_is_away_everything_is_tried_again_later() -> None:
    store = Counting()
    store.away = True
    assert all(isinstance(result, Retryable) for result in await kept(store, 5))
    assert store.transactions == [5]


async def test_the_recorder_goes_on_after_the_store_was_away() -> None:
    class Away(InMemoryStore):
        failures = 2

        def changed(self, limit: int) -> Sequence[Change]:
            if self.failures:
                self.failures -= 1
                raise Retryable("away")
            return super().changed(limit)

    desk = Desk(Away())
    await desk.hear(*STORY)
    beat = timedelta(milliseconds=1)
    async with Recorder(desk.tools, sweep_every=beat, backoff=beat), asyncio.timeout(10):
        while not desk.examples:
            await desk.bus.arrival(0.01)
    assert len(desk.example().judgements) == 1


def test_several_instances_need_a_database_that_they_share() -> None:
    second = ServiceSettings(instance=1)
    runtime = Runtime(Desk(InMemoryStore()).bus, METRICS, Traces(None), second)
    with pytest.raises(ValueError, match="TAILRACE_FEEDBACK_STORE_URL"):
        create_app(FeedbackSettings(store_url=None), second).build(runtime)
    shared = FeedbackSettings(store_url=SecretStr("postgresql://nobody@127.0.0.1:1/none"))
    assert create_app(shared, second).build(runtime).routes


def test_other_databases_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="not mysql"):
        SqlStore("mysql://localhost/feedback")
