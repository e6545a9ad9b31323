"""The store in PostgreSQL: what holds in SQLite holds there, and several instances take turns."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings

from libs.bus import Retryable
from services.feedback.adapters.sql_engine import Database
from services.feedback.adapters.sql_store import SqlStore
from services.feedback.adapters.sql_tables import METADATA
from tests.support.feedback_stories import Story, ends_alike, stories
from tests.support.postgres import postgres_folder, postgres_server, programs
from tests.unit.feedback.parts import NOON, Arrival, Desk, answered, erasure, feedback

pytestmark = pytest.mark.skipif(programs() is None, reason="no PostgreSQL server is installed here")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres_folder() as folder, postgres_server(folder) as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    """The server's database with empty tables."""
    emptied(server)
    return server


def emptied(url: str) -> None:
    database = Database(url)
    database.open()
    with database.transaction() as connection:
        METADATA.drop_all(connection)
    database.close()


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    made = SqlStore(url)
    made.open()
    yield made
    made.close()


async def test_feedback_becomes_an_example_and_an_erasure_empties_it(store: SqlStore) -> None:
    desk = await Desk(store).after(*answered(), Arrival(feedback(subject="s-1", comment="a secret"), 7))
    assert len(desk.example().judgements) == 1
    await desk.after(Arrival(erasure("s-1"), at=NOON + timedelta(hours=1)))
    assert not desk.example().judgements
    await desk.later(timedelta(days=366))
    assert not desk.examples


async def test_ids_stand_in_the_order_of_their_code_points(store: SqlStore) -> None:
    ids = ["B", "a", "ä", "_", "Z", "😀", "\ufb01"]
    desk = await Desk(store).after(*answered(), *(Arrival(feedback(feedback_id=i), n) for n, i in enumerate(ids)))
    assert [judgement.feedback_id for judgement in desk.example().judgements] == sorted(ids)


async def test_one_instance_records_until_it_leaves(url: str) -> None:
    first, second = SqlStore(url), SqlStore(url)
    first.open()
    second.open()
    desk = Desk(second)
    await desk.hear(*answered(), Arrival(feedback(), 7))
    assert len(first.changed(10)) == 1
    assert not second.changed(10)
    first.close()
    await desk.settle()
    assert len(desk.example().judgements) == 1
    second.close()


async def test_instances_that_write_about_one_response_at_once_lose_nothing(url: str) -> None:
    stores = [SqlStore(url), SqlStore(url)]
    for store in stores:
        store.open()
    desk = Desk(stores[0])
    await desk.hear(*answered())
    facts = await desk.facts([Arrival(feedback(feedback_id=f"f-{n:03}"), n) for n in range(200)])

    def write(store: SqlStore, own: int) -> None:
        for fact in facts[own::2]:
            store.note([fact], NOON)

    threads = [threading.Thread(target=write, args=(store, own)) for own, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    await desk.settle()
    assert len(desk.example().judgements) == 200
    for store in stores:
        store.close()


def test_a_server_that_is_away_is_waited_for() -> None:
    with pytest.raises(Retryable, match="away"):
        SqlStore("postgresql://nobody@127.0.0.1:1/none").open()


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(story=stories())
async def test_any_order_ends_in_the_same_as_memory(server: str, story: Story) -> None:
    emptied(server)
    store = SqlStore(server)
    store.open()
    try:
        await ends_alike(story, store)
    finally:
        store.close()
