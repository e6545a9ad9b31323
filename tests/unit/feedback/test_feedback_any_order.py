"""Whatever order facts come in, however often, whenever they are recorded: the same store, the same examples."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from services.feedback.adapters.in_memory import InMemoryStore
from services.feedback.adapters.sql_store import SqlStore
from tests.support.feedback_stories import Story, ends_alike, stories


@given(stories())
@settings(max_examples=600, suppress_health_check=list(HealthCheck))
async def test_any_order_ends_in_the_same_store_and_the_same_examples(story: Story) -> None:
    await ends_alike(story, InMemoryStore())


@given(stories())
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
async def test_a_database_ends_in_the_same_as_memory(story: Story) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SqlStore(f"sqlite:///{Path(folder) / 'feedback.db'}")
        store.open()
        try:
            await ends_alike(story, store)
        finally:
            store.close()
