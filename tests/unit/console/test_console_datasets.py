"""`tailrace datasets` over a folder of data sets, and their making over a log in memory."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from libs.bus import InMemoryBus, Outgoing, decode, encode
from libs.bus.envelope import read_envelope
from libs.datasets import Dataset, Datasets, EmptyDatasetError, Policy, announcement_id
from libs.datasets.log import announce, publish
from schemas.feedback import ExampleRecorded, SubjectErased
from schemas.training import DatasetPublished
from services.console.__main__ import main
from tests.support.examples import START, example, judged
from tests.unit.console.conftest import Told

POLICY = Policy(name="test", version=1)


def liked(name: str) -> ExampleRecorded:
    better = judged("edit", f"Something better than {name}.", feedback_id=f"e-{name}")
    return example(name, judged("thumb", True, feedback_id=f"t-{name}"), better, text=f"Answer {name}")


@pytest.fixture
def two(home: Path) -> tuple[Dataset, Dataset]:
    datasets = Datasets(home)
    first = datasets.publish([liked("r-1")], POLICY).dataset
    return first, datasets.publish([liked("r-1"), liked("r-2")], POLICY).dataset


def test_data_sets_are_listed_for_people_and_for_programs(told: Told, two: tuple[Dataset, Dataset]) -> None:
    assert [it["name"] for it in told.json("datasets", "list")] == [it.name for it in two]
    assert all(it.name[:12] in told("datasets", "list") for it in two)


def test_where_there_are_none_none_are_listed(told: Told, home: Path) -> None:
    assert told("datasets", "list") == "no data sets\n"
    assert told.json("datasets", "list") == []
    assert str(home) in told("datasets", "show", code=1)


def test_a_data_set_is_shown_with_its_counts_and_its_policy(told: Told, two: tuple[Dataset, Dataset]) -> None:
    shown = told.json("datasets", "show", two[0].name[:8], "--verify")
    assert (shown["name"], shown["faults"], shown["policy"]) == (two[0].name, [], POLICY.label)
    assert "as it was published" in told("datasets", "show", "--verify")


def test_a_changed_data_set_is_shown_as_such(
    told: Told, two: tuple[Dataset, Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    (two[0].folder / "lineage.jsonl").write_text("")
    assert main(["datasets", "show", two[0].name, "--verify"]) == 1
    assert "lineage.jsonl: its content" in capsys.readouterr().out


def test_the_difference_of_two_is_told(told: Told, two: tuple[Dataset, Dataset]) -> None:
    found = told.json("datasets", "diff", two[0].name)
    assert (sum(found["added"].values()), found["removed"], found["same"]) == (3, {}, 3)
    assert {answer["response_id"] for it in found["changes"] for answer in it["row"]["answers"]} == {"r-2"}
    assert "3 added, 0 removed, 0 moved, 3 the same; the same policy" in told("datasets", "diff", two[0].name)


def test_an_export_is_the_data_set_and_goes_over_nothing(
    told: Told, two: tuple[Dataset, Dataset], tmp_path: Path
) -> None:
    told("datasets", "export", "latest", str(tmp_path / "all"))
    copied = {p.relative_to(tmp_path / "all"): p.read_bytes() for p in (tmp_path / "all").rglob("*") if p.is_file()}
    there = {p.relative_to(two[1].folder): p.read_bytes() for p in two[1].folder.rglob("*") if p.is_file()}
    assert copied == there
    found = told.json("datasets", "export", "latest", str(tmp_path / "plain"), "--form", "plain")
    assert {Path(name).parts[0] for name in found["files"]} == {"plain", "lineage.jsonl", "manifest.json"}
    assert "holds something already" in told("datasets", "export", "latest", str(tmp_path / "all"), code=2)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("datasets show ffff", 1, 'no data set "ffff"'),
        ("datasets publish --policy none.yaml", 2, "none.yaml: No such file"),
        ("datasets publish", 1, "TAILRACE_BOOTSTRAP_SERVERS"),
        ("datasets export latest x --form steam", 2, "no form"),
    ],
)
def test_a_wrong_call_is_one_line(
    told: Told, two: tuple[Dataset, Dataset], arguments: str, code: int, said: str
) -> None:
    assert said in told(*arguments.split(), code=code)


# -- over a log ---------------------------------------------------------------------------------------------------


async def write(bus: InMemoryBus, topic: str, *bodies: tuple[str, bytes | None]) -> None:
    producer = await bus.producer()
    for key, value in bodies:
        await (await producer.send(Outgoing(topic, key.encode(), value)))
    await producer.stop()


def recorded(examples: Iterable[ExampleRecorded]) -> list[tuple[str, bytes | None]]:
    return [(it.response_id, encode(it)) for it in examples]


async def test_the_last_state_of_each_example_on_the_log_counts(in_memory: InMemoryBus, tmp_path: Path) -> None:
    early = [liked(f"r-{n}") for n in range(5)]
    poison: tuple[str, bytes | None] = ("r-x", b'{"response_id": 1}')
    changed = example("r-1", judged("thumb", False, feedback_id="t-r-1"), text="Answer r-1")
    await write(in_memory, "example-recorded", *recorded(early), poison, *recorded([changed]), ("r-2", None))
    await write(in_memory, "subject-erased", *[("s", encode(SubjectErased(subject="s")))] * 2, ("s", b"?"))
    datasets = Datasets(tmp_path)
    made = await publish(in_memory, datasets, POLICY)
    plain = [early[0], changed, *early[3:]]
    assert {row.row for row in made.dataset.lineage()} == {
        row.row for row in Datasets(tmp_path / "other").publish(plain, POLICY).dataset.lineage()
    }
    manifest = made.dataset.manifest
    assert manifest.left_out["examples"] == {"unreadable": 1}
    assert manifest.erased_subjects == 1
    assert sum(manifest.sources["example-recorded"].values()) == 8


async def test_it_is_announced_once(in_memory: InMemoryBus, tmp_path: Path) -> None:
    await write(in_memory, "example-recorded", *recorded([liked("r-1")]))
    datasets = Datasets(tmp_path)
    for is_new in (True, False):
        made = await publish(in_memory, datasets, POLICY)
        assert made.is_new is is_new
        await announce(in_memory, datasets, made.dataset, "console", lambda: START)
    records = [
        r for p in await in_memory.partitions("dataset-published") async for r in in_memory.read("dataset-published", p)
    ]
    (event,) = (decode(record, DatasetPublished) for record in records)
    assert event.name == made.dataset.name
    assert read_envelope(records[0]).id == announcement_id(event)


async def test_an_empty_log_makes_no_data_set(in_memory: InMemoryBus, tmp_path: Path) -> None:
    with pytest.raises(EmptyDatasetError, match="there were no examples"):
        await publish(in_memory, Datasets(tmp_path), POLICY)
    assert Datasets(tmp_path).list() == ()


async def test_an_example_that_is_taken_away_much_later_is_gone(in_memory: InMemoryBus, tmp_path: Path) -> None:
    await write(in_memory, "example-recorded", *recorded([liked("r-1")] * 1100), ("r-1", None))
    await write(in_memory, "example-recorded", *recorded([liked("r-2")]))
    made = await publish(in_memory, Datasets(tmp_path), POLICY)
    assert {answer.response_id for row in made.dataset.lineage() for answer in row.answers} == {"r-2"}
