"""A training goes on from a checkpoint that is whole, says how it goes, and stops where it must."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from services.retraining.domain.job import Report
from services.retraining.training.checkpoints import SEAL, last_whole, seal
from services.retraining.training.choosing import RefusedError
from services.retraining.training.reporting import Reporting, journal_of, trained, writing_to


def checkpoint(folder: Path, step: int, *, sealed: bool = True) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    (made / "model.safetensors").write_bytes(bytes([step % 256]) * 1000)
    (made / "optimizer.pt").write_bytes(b"moments")
    if sealed:
        seal(made)
    return made


def test_without_checkpoints_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert last_whole(tmp_path / "nowhere") is None
    assert last_whole(tmp_path) is None
    checkpoint(tmp_path, 2, sealed=False)
    assert last_whole(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_the_newest_sealed_checkpoint_is_taken_by_its_number_and_older_ones_stay(tmp_path: Path) -> None:
    older, newest = checkpoint(tmp_path, 90), checkpoint(tmp_path, 100)
    assert last_whole(tmp_path) == newest
    assert older.exists()


def test_a_newer_one_that_was_not_sealed_is_removed(tmp_path: Path) -> None:
    whole, cut_off = checkpoint(tmp_path, 50), checkpoint(tmp_path, 100, sealed=False)
    assert last_whole(tmp_path) == whole
    assert not cut_off.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "model.safetensors").write_bytes(b"d" * 999 + b"e"),
        lambda folder: (folder / "optimizer.pt").write_bytes(b""),
        lambda folder: (folder / "optimizer.pt").unlink(),
        lambda folder: (folder / SEAL).write_text('{"model.safetensors": '),
        lambda folder: shutil.copyfile(folder.parent / "checkpoint-50" / SEAL, folder / SEAL),
    ],
    ids=["a changed byte", "an emptied file", "a missing file", "a cut seal", "the seal of another"],
)
def test_of_a_damaged_one_nothing_is_left_and_the_one_before_is_taken(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    whole, newest = checkpoint(tmp_path, 50), checkpoint(tmp_path, 100)
    damage(newest)
    assert last_whole(tmp_path) == whole == last_whole(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-50"]


def test_a_checkpoint_saved_anew_is_sealed_anew(tmp_path: Path) -> None:
    made = checkpoint(tmp_path, 50)
    (made / "optimizer.pt").write_bytes(b"other moments")
    seal(made)
    assert last_whole(tmp_path) == made


class Run:
    """The trainer's own objects, and what is said."""

    def __init__(self, folder: Path, *, step: int = 0, stopped: bool = False, seals: bool = True) -> None:
        self.args = TrainingArguments(output_dir=str(folder), use_cpu=True, report_to="none")
        self.state, self.control = TrainerState(global_step=step, max_steps=20), TrainerControl()
        self.said: list[Report] = []
        self.reporting = Reporting(self.said.append, lambda: stopped, seals=seals)

    def __call__(self, event: str, **given: Any) -> None:
        getattr(self.reporting, f"on_{event}")(self.args, self.state, self.control, **given)


@pytest.mark.parametrize(("step", "status"), [(0, "started"), (8, "resumed")])
def test_it_says_whether_it_begins_or_goes_on(tmp_path: Path, step: int, status: str) -> None:
    run = Run(tmp_path, step=step)
    run("train_begin")
    assert [(it.status, it.step, it.steps) for it in run.said] == [(status, step, 20)]


def test_it_says_numbers_and_leaves_out_what_is_none(tmp_path: Path) -> None:
    run = Run(tmp_path, step=5)
    run("log", logs={"loss": 0.5, "epoch": 1, "entropy": math.nan, "note": "text"})
    run("log")
    assert [(it.status, it.metrics) for it in run.said] == [("training", {"loss": 0.5, "epoch": 1.0}), ("training", {})]
    last = trained(run.state, {"train_loss": 0.4, "eval_runtime": math.inf})
    assert (last.status, last.step, last.metrics) == ("trained", 5, {"train_loss": 0.4})


@pytest.mark.parametrize("name", ["loss", "eval_loss", "train_loss", "grad_norm"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_finite_number_is_the_end(tmp_path: Path, name: str, value: float) -> None:
    run = Run(tmp_path, step=5)
    with pytest.raises(RefusedError, match=r"at step 5: lower the recipe's learning_rate"):
        run("log", logs={"loss": 0.5, name: value})
    assert run.said == []


def test_told_to_stop_it_saves_and_stops_and_not_before(tmp_path: Path) -> None:
    going, told = Run(tmp_path), Run(tmp_path, stopped=True)
    for run in (going, told):
        run("step_end")
    found = [(run.control.should_save, run.control.should_training_stop, run.reporting.was_stopped) for run in
             (going, told)]  # fmt: skip
    assert found == [(False, False, False), (True, True, True)]


@pytest.mark.parametrize(("first", "seals", "sealed"), [(True, True, True), (False, True, False), (True, False, False)])
def test_what_was_saved_is_sealed_by_the_first_process_alone(
    tmp_path: Path, first: bool, seals: bool, sealed: bool
) -> None:
    made = checkpoint(tmp_path, 6, sealed=False)
    run = Run(tmp_path, step=6, seals=seals)
    run.state.is_world_process_zero = first
    run("save")
    assert (made / SEAL).exists() is sealed
    assert (last_whole(tmp_path) == made) is sealed


def test_the_journal_has_all_lives_of_a_training_but_for_lines_that_were_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "progress.jsonl"
    assert journal_of(file) == []
    reports = [Report(status="training", step=n, steps=9, metrics={"loss": 1 / n}, at_ms=n) for n in (1, 2, 3)]
    for report in reports[:2]:
        writing_to(file)(report)
    whole = file.read_bytes()
    with file.open("ab") as journal:
        journal.write(whole[:40] + b"\n")
        journal.write(b'{"status": "unheard of", "step": 1, "steps": 9, "at_ms": 1}\n\xff\n[]\n')
    writing_to(file)(reports[2])
    assert journal_of(file) == reports
    file.write_bytes(whole[:-20])
    assert journal_of(file) == reports[:1]
