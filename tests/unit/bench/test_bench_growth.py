"""Sizes, and what is made of their figures."""

from pathlib import Path

import pytest

from schemas.prompts import PromptAccepted
from tests.bench.growing import event, middle
from tests.bench.index_growth import Texts, documents, measure
from tests.bench.parts.growth import table


@pytest.mark.parametrize("size", [1_000, 10_000, 100_000])
def test_an_event_has_the_size_that_is_asked_for(size: int) -> None:
    body = event("k1", size)
    assert abs(len(body) - size) < 100
    assert PromptAccepted.model_validate_json(body).conversation_id == "k1"


def test_the_rate_is_of_the_middle_stretch() -> None:
    # A start of ten seconds, then 10 a second, and an end that takes its time.
    looks = [(0.0, 0), (10.0, 20), (11.0, 30), (17.0, 90), (50.0, 100)]
    assert middle(looks, 100) == 10


def test_chunks_are_as_many_as_asked_for_and_the_same_each_time() -> None:
    first, second = (list(documents(Texts(seed=3), 150)) for _ in range(2))
    assert [len(document.chunks) for document in first] == [100, 50]
    assert first == second


async def test_an_index_is_built_and_searched(tmp_path: Path) -> None:
    found = await measure(tmp_path / "index", chunks=120, queries=3)
    assert found["chunks"] == 120
    assert 0 < found["p50"] <= found["p99"]
    assert found["disk_mb"] > 0


def test_sizes_are_shown_beside_the_smallest() -> None:
    cuts = {"p50": 2.0, "p95": 3.0, "p99": 4.0}
    rows = table("processes", {"1": (100.0, cuts), "2": (150.0, {**cuts, "p50": 3.0})})
    assert [row["to the smallest"] for row in rows] == ["1.00x", "1.50x"]
    assert [row["p50 to the smallest"] for row in rows] == ["1.00x", "1.50x"]
