"""The whole examination, in its own process and out of it: begun, killed, begun again, and what it ends with."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.evaluation.domain.exam import Exam, Measured, Report
from services.evaluation.domain.metrics import METRICS
from services.evaluation.examination import run
from services.evaluation.examination.__main__ import JUDGE_KEY, REGISTRY, main
from tests.support.evaluations import exam, gate, knowledge_file, rewritten
from tests.unit.evaluation.conftest import Lot

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def laid(folder: Path, asked: Exam) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "exam.json").write_text(asked.model_dump_json())
    return folder


def measured(folder: Path) -> Measured:
    return Measured.model_validate_json((folder / "measured.json").read_bytes())


@pytest.fixture(autouse=True)
def no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (REGISTRY, JUDGE_KEY):
        monkeypatch.delenv(name, raising=False)


class Child:
    """The examination of a folder, and what it reports."""

    def __init__(self, folder: Path) -> None:
        reading, writing = os.pipe()
        command = (sys.executable, "-m", "services.evaluation.examination", str(folder), str(writing))
        self.process = subprocess.Popen(command, pass_fds=(writing,), stderr=subprocess.PIPE)
        os.close(writing)
        self._pipe = os.fdopen(reading, "rb")
        self.reports = (Report.model_validate_json(line) for line in self._pipe)

    def ended(self) -> int:
        self.process.communicate()
        self._pipe.close()
        return self.process.returncode


def test_an_examination_that_is_killed_goes_on_after_the_last_exam_that_was_done(lot: Lot, tmp_path: Path) -> None:
    exams = {"pairs": 8, "texts": 8, "answers": 24, "answer_tokens": 48, "questions": 2, "trials": 2, "max_length": 512}
    folder = laid(
        tmp_path / "run", exam(lot.folder, lot.base, lot.one.name, champion=lot.two.name, gate=gate(exams=exams))
    )
    knowledge_file(folder / "knowledge.jsonl")

    killed = Child(folder)
    before = next(it for it in killed.reports if it.exam == "answers" and it.step)
    killed.process.send_signal(signal.SIGKILL)
    assert killed.ended() == -signal.SIGKILL
    assert not (folder / "measured.json").exists()
    done = {file: file.stat().st_mtime_ns for file in (folder / "scores").glob("*.json")}
    assert {file.stem for file in done} == {"size", "preferences", "retained", "judgements", "perplexity", "general"}

    again = Child(folder)
    reports = list(again.reports)
    assert again.ended() == 0
    assert {it.steps for it in reports} == {before.steps}
    assert [it.step for it in reports] == sorted(it.step for it in reports)
    assert reports[-1].step == before.steps
    assert {file: file.stat().st_mtime_ns for file in done} == done

    found = measured(folder)
    assert (found.refused, found.unknown, found.dataset) == ("", "", lot.dataset.name)
    assert {it.metric for it in found.scores} | set(found.missing) == set(METRICS)
    assert found.missing == {}
    assert found.seconds > 0
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert {it["exam"] for it in samples} == {"answers", "knowledge", "safety"}
    assert set(samples[0]) == {"exam", "prompt", "reference", "candidate", "champion"}


def test_what_is_measured_is_measured_once(lot: Lot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = laid(tmp_path / "run", exam(lot.folder, lot.base, lot.one.name))
    assert main(folder) == 0
    first = (folder / "measured.json").read_bytes()
    (folder / "exam.json").unlink()
    assert main(folder) == 0
    assert (folder / "measured.json").read_bytes() == first


def test_the_same_exam_finds_the_same_and_a_torn_score_is_asked_again(lot: Lot, tmp_path: Path) -> None:
    one, two = (
        laid(tmp_path / name, exam(lot.folder, lot.base, lot.one.name, champion=lot.two.name)) for name in ("a", "b")
    )
    (two / "scores").mkdir()
    (two / "scores" / "preferences.json").write_text('{"dataset": "')
    assert main(one) == main(two) == 0
    first, second = ({it.metric: it for it in measured(it).scores} for it in (one, two))
    assert first.keys() == second.keys()
    assert all(first[name] == second[name] for name in first if name != "seconds_per_token")


def test_scores_of_another_data_set_are_not_taken(lot: Lot, tmp_path: Path) -> None:
    folder = laid(tmp_path / "run", exam(lot.folder, lot.base, lot.one.name))
    assert main(folder) == 0
    kept = run.Kept.model_validate_json((folder / "scores" / "preferences.json").read_bytes())
    (folder / "measured.json").unlink()
    other = kept.model_copy(update={"dataset": "e" * 64, "seconds": 1e6})
    (folder / "scores" / "preferences.json").write_text(other.model_dump_json())
    assert main(folder) == 0
    assert measured(folder).seconds < 1e6


def test_a_candidate_that_is_damaged_is_refused_with_one_line(lot: Lot, tmp_path: Path) -> None:
    def first_layer_only(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: it for name, it in tensors.items() if "layers.0." in name}

    broken = rewritten(tmp_path / "models", lot.one, first_layer_only)
    asked = exam(lot.folder, lot.base, broken.name, models=tmp_path / "models")
    folder = laid(tmp_path / "run", asked)
    assert main(folder) == 0
    assert measured(folder).refused.startswith(f"adapter {broken.name} is damaged: it is truncated: 4 of 8 weights")
    assert measured(folder).scores == ()


def test_a_champion_that_is_damaged_is_no_verdict(lot: Lot, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def nan(tensors: dict[str, Any]) -> None:
        next(iter(tensors.values())).fill_(float("nan"))

    broken = rewritten(lot.models, lot.two, nan)
    folder = laid(tmp_path / "run", exam(lot.folder, lot.base, lot.one.name, champion=broken.name))
    assert main(folder) == 1
    assert not (folder / "measured.json").exists()
    assert capsys.readouterr().err.startswith(f"the champion {broken.name} is damaged: ")


def test_what_is_not_there_is_unknown(lot: Lot, tmp_path: Path) -> None:
    folder = laid(tmp_path / "run", exam(lot.folder, lot.base, "mine-000000000000"))
    assert main(folder) == 0
    assert measured(folder).unknown.startswith('no adapter "mine-000000000000"')


def test_a_registry_that_is_away_is_a_matter_of_time(
    lot: Lot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = laid(tmp_path / "run", exam(lot.folder, lot.base, "mine-000000000000"))
    monkeypatch.setenv(REGISTRY, f"sqlite:///{folder / 'exam.json' / 'mlflow.db'}")
    assert main(folder) == 69
    assert capsys.readouterr().err.count("\n") == 1
    assert not (folder / "measured.json").exists()


def test_a_judge_that_cannot_be_asked_is_no_verdict(
    lot: Lot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = {"kind": "python", "function": "no_such_module:judge"}
    folder = laid(tmp_path / "run", exam(lot.folder, lot.base, lot.one.name, gate=gate(judge=judge)))
    assert main(folder) == 1
    assert capsys.readouterr().err.startswith("the judge no_such_module:judge cannot be imported")
    assert not (folder / "measured.json").exists()
