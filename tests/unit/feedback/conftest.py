"""Both stores pass the same suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.feedback.adapters.in_memory import InMemoryStore
from services.feedback.adapters.sql_store import SqlStore
from services.feedback.ports import Store
from tests.unit.feedback.parts import Desk


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = InMemoryStore() if request.param == "memory" else SqlStore(f"sqlite:///{tmp_path / 'feedback.db'}")
    made.open()
    yield made
    made.close()


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store)
