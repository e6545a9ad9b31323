"""The benchmark's frame: parts by name, sides in turn, goals, and where findings are written."""

import json
from functools import partial
from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.frame import Bench, Finding, Goal, in_turn
from tests.bench.latency import rows
from tests.bench.registry import MODULES, parts

FINDING = Finding([{"side": "ours", "records/s": 12345.6}], [Goal("to theirs", 2.0, at_least=3)], ["A note."])


def found(finding: Finding = FINDING, part: str = "b") -> report.Report:
    return report.Report(part, "Throughput", finding, {"cpu": "a fast one"}, (0.5, 1.5), 12.0, "2026-01-02 03:04 UTC")


def test_every_part_can_be_found_by_its_name() -> None:
    assert [part.name for part in parts([])] == list(MODULES)
    assert [part.name for part in parts(["c", "b"])] == ["b", "c"]


def test_an_unknown_part_is_told_with_those_there_are() -> None:
    with pytest.raises(KeyError, match="no part x; there are: a1"):
        parts(["b", "x"])


async def test_sides_take_turns_and_the_first_one_changes() -> None:
    seen: list[str] = []

    async def side(name: str, number: int) -> int:
        seen.append(f"{name}{number}")
        return number

    results = await in_turn(3, {name: partial(side, name) for name in "ab"})
    assert seen == ["a0", "b0", "b1", "a1", "a2", "b2"]
    assert results == {"a": [0, 1, 2], "b": [0, 1, 2]}


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (Goal("g", 1.5, at_most=1.5), True),
        (Goal("g", 1.51, at_most=1.5), False),
        (Goal("g", 8.0, at_least=8), True),
        (Goal("g", 7.99, at_least=8), False),
    ],
)
def test_a_goal_knows_whether_it_is_reached(goal: Goal, reached: bool) -> None:
    assert goal.reached is reached


def test_counts_follow_the_scale_but_never_vanish(tmp_path: Path) -> None:
    assert Bench(tmp_path, 0.1).times(300) == 30
    assert Bench(tmp_path, 0.001).times(300) == 1


def test_a_ratio_is_the_first_side_to_the_second() -> None:
    table = rows({"ours": [3.0] * 50, "floor": [2.0] * 50})
    assert table[-1] == {"milliseconds": "ratio", "p50": 1.5, "p95": 1.5, "p99": 1.5}


def test_of_several_sides_the_first_is_compared_with_each() -> None:
    table = rows({"ours": [6.0] * 50, "before": [3.0] * 50, "floor": [2.0] * 50})
    assert [(row["milliseconds"], row["p50"]) for row in table[3:]] == [
        ("ratio to before", 2.0),
        ("ratio to floor", 3.0),
    ]


def test_the_json_is_valid_and_says_whether_goals_were_reached(tmp_path: Path) -> None:
    body = json.loads(report.write_json(found(), tmp_path).read_text())
    assert body["finding"]["goals"] == [{"name": "to theirs", "found": 2.0, "at_least": 3, "reached": False}]
    assert body["load"] == [0.5, 1.5]


def test_a_section_of_the_page_is_renewed_in_its_place() -> None:
    page = report.put_into(report.put_into("# Performance\n", found()), found(part="c"))
    again = report.put_into(page, found(Finding([{"side": "ours", "records/s": 9.0}])))
    assert again.startswith("# Performance\n")
    assert again.index("## (b)") < again.index("## (c)")
    assert again.count("## (b)") == 1
    assert "| ours | 9.00 |" in again
    assert "| ours | 12 346 |" in again
    assert "to theirs: 2.00 (at least 3: NOT reached)" in again
