"""Data sets on disk: whole or not there, never changed in silence, found by name, traced both ways."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from libs.datasets import Dataset, DatasetError, Datasets, Policy, announcement, announcement_id, lineage_of
from schemas.feedback import ExampleRecorded
from tests.support.examples import example, judged

POLICY = Policy(name="test", version=1)


def liked(name: str = "r-1") -> ExampleRecorded:
    better = judged("edit", f"A better answer than {name}", feedback_id=f"e-{name}")
    return example(name, judged("thumb", True, feedback_id=f"t-{name}"), better, text=f"Answer {name}")


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    return Datasets(tmp_path / "datasets")


@pytest.fixture
def dataset(datasets: Datasets) -> Dataset:
    return datasets.publish([liked()], POLICY).dataset


def test_the_same_again_is_no_new_data_set(datasets: Datasets) -> None:
    first = datasets.publish([liked()], POLICY, sources={"example-recorded": {0: 1}})
    again = datasets.publish([liked(), liked()], POLICY, sources={"example-recorded": {0: 2}}, erased_subjects=1)
    assert (first.is_new, again.is_new) == (True, False)
    assert datasets.list() == (first.dataset,) == (again.dataset,)
    assert first.dataset.manifest.sources == {"example-recorded": {"0": 1}}


def test_other_rows_or_other_rules_are_another_data_set(datasets: Datasets, dataset: Dataset) -> None:
    names = {
        dataset.name,
        datasets.publish([liked(), liked("r-2")], POLICY).dataset.name,
        datasets.publish([liked()], POLICY.model_copy(update={"version": 2})).dataset.name,
    }
    assert len(names) == len(datasets.list()) == 3


def test_a_data_set_is_found_by_the_beginning_of_its_name(datasets: Datasets, dataset: Dataset) -> None:
    assert datasets.open(dataset.name[:4]) == datasets.open("latest") == datasets.open(dataset.name) == dataset
    for wrong in ("", "zzzz", "f" * 64, "../..", dataset.name[:3]):
        with pytest.raises(DatasetError, match="no data set"):
            datasets.open(wrong)


def test_a_folder_without_data_sets_lists_none(tmp_path: Path) -> None:
    assert Datasets(tmp_path / "nowhere").list() == ()
    assert Datasets(tmp_path / "nowhere").latest() is None


def test_the_latest_is_of_the_policy_that_is_asked_for(datasets: Datasets, dataset: Dataset) -> None:
    other = datasets.publish([liked()], Policy(name="other", version=1)).dataset
    assert datasets.latest("test") == dataset
    assert datasets.latest("other") == other
    assert datasets.latest("none") is None


def test_the_announcement_tells_what_is_new_since_the_one_before_and_is_the_same_when_repeated(
    datasets: Datasets, dataset: Dataset
) -> None:
    first = announcement(datasets, dataset)
    assert (first.previous, first.added, first.removed) == (None, 3, 0)
    assert first.policy_version == POLICY.label
    datasets.publish([liked()], Policy(name="other", version=1))
    second = datasets.publish([liked("r-2"), liked("r-3")], POLICY).dataset
    told = announcement(datasets, second)
    assert (told.name, told.previous, told.added, told.removed) == (second.name, dataset.name, 6, 3)
    assert announcement(datasets, dataset) == first
    assert announcement_id(first) != announcement_id(told)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: _append(folder / "conversational/kto/train.jsonl", b"{}\n"), "kto/train.jsonl: its content"),
        (lambda folder: (folder / "plain/kto/train.jsonl").unlink(), "plain/kto/train.jsonl: No such file"),
        (lambda folder: (folder / "extra.txt").write_text("x"), "extra.txt: does not belong"),
        (lambda folder: _replace(folder / "manifest.json", b'"version": 1', b'"version": 2'), "its hash is"),
        (lambda folder: _replace(folder / "manifest.json", b"{", b"", 1), "manifest.json is damaged"),
        (lambda folder: (folder / "manifest.json").unlink(), "this is no data set"),
        (lambda folder: folder.rename(folder.with_name("0" * 64)), None),
    ],
)
def test_damage_is_found(dataset: Dataset, damage: object, told: str | None) -> None:
    assert dataset.verify() == []
    assert callable(damage)
    moved = damage(dataset.folder)
    found = (Dataset(moved) if told is None else dataset).verify()
    assert (told or "not the data set's name") in found[0]


def _append(path: Path, more: bytes) -> None:
    path.write_bytes(path.read_bytes() + more)


def _replace(path: Path, old: bytes, new: bytes, count: int = -1) -> None:
    path.write_bytes(path.read_bytes().replace(old, new, count))


def test_a_damaged_data_set_is_not_published_over(datasets: Datasets, dataset: Dataset) -> None:
    _append(dataset.folder / "lineage.jsonl", b"{}\n")
    with pytest.raises(DatasetError, match=r"lineage\.jsonl.*move it away and publish again"):
        datasets.publish([liked()], POLICY)


def test_a_failed_making_leaves_nothing_behind(datasets: Datasets) -> None:
    with pytest.raises(DatasetError), datasets.building(POLICY) as build:
        build.publish(sources={})
    assert [path.name for path in datasets.folder.iterdir()] == [".lock"]


def test_two_makers_at_once_are_refused(datasets: Datasets) -> None:
    with datasets.building(POLICY), pytest.raises(DatasetError, match="another data set is being made"):
        datasets.publish([liked()], POLICY)


_KILLED = """
import os, signal, sys
from pathlib import Path
from libs.datasets import Datasets, Policy
from schemas.feedback import ExampleRecorded

with Datasets(Path(sys.argv[1])).building(Policy(name="test", version=1)) as build:
    build.take([ExampleRecorded.model_validate_json(sys.argv[2])])
    rename, os.rename = os.rename, None
    Path.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    build.publish(sources={})
"""


def test_a_maker_killed_at_the_last_moment_leaves_no_half_data_set(datasets: Datasets) -> None:
    told = liked().model_dump_json()
    ran = subprocess.run([sys.executable, "-c", _KILLED, str(datasets.folder), told], check=False, env=dict(os.environ))
    assert ran.returncode == -signal.SIGKILL
    assert datasets.list() == ()
    assert (datasets.folder / ".building" / "dataset" / "manifest.json").exists()
    assert datasets.publish([liked()], POLICY).is_new
    assert not (datasets.folder / ".building").exists()


def test_an_example_that_is_no_more_gives_no_row(datasets: Datasets) -> None:
    with datasets.building(POLICY) as build:
        build.take([liked(), liked("r-2")])
        build.drop("r-2")
        build.note_unreadable()
        found = build.publish(sources={}).dataset
    assert {answer.response_id for row in found.lineage() for answer in row.answers} == {"r-1"}
    assert found.manifest.left_out["examples"] == {"unreadable": 1}


def test_the_last_state_of_an_example_counts(datasets: Datasets) -> None:
    found = datasets.publish([liked(), example("r-1", judged("thumb", False))], POLICY).dataset
    assert [row["label"] for split in ("train", "validation", "test") for row in found.rows("kto", split)] == [False]


def test_lineage_leads_from_answers_prompts_and_feedback_to_rows_and_back(datasets: Datasets) -> None:
    found = datasets.publish([liked(), liked("r-2"), liked('r-"ü\\')], POLICY).dataset
    of_answer = list(lineage_of(found, "r-1"))
    assert {(row.kind, row.made_of) for row in of_answer} == {
        ("kto", ("votes",)),
        ("sft", ("edit",)),
        ("dpo", ("edit",)),
    }
    assert [row.kind for row in lineage_of(found, "t-r-1")] == ["kto"]
    assert list(lineage_of(found, "p-r-1")) == of_answer
    assert [list(lineage_of(found, row.row)) for row in of_answer] == [[row] for row in of_answer]
    assert len(list(lineage_of(found, 'r-"ü\\'))) == 3
    assert not list(lineage_of(found, "kto"))
    assert not list(lineage_of(found, "r-"))
