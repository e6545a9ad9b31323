"""What is known of an examination before any model is loaded."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from libs.datasets import DatasetError, Datasets
from libs.model_registry import Adapters
from services.evaluation.examination.errors import BrokenError, RefusedError, UnknownError
from services.evaluation.examination.held_out import held_out, sample, spread, trained_on
from services.evaluation.examination.opening import opened
from tests.support.evaluations import exam, random_adapter
from tests.support.trainings import tiny_base
from tests.unit.evaluation.conftest import Lot

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


@pytest.fixture
def copy(lot: Lot, tmp_path: Path) -> Path:
    """Data sets and models that a test may damage."""
    for name in ("datasets", "models"):
        shutil.copytree(lot.folder / name, tmp_path / name)
    return tmp_path


def cut(folder: Path, adapter: str) -> None:
    file = folder / "models" / adapter / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-40])


def test_what_is_whole_is_opened_by_its_card(lot: Lot) -> None:
    case = opened(exam(lot.folder, lot.base, lot.one.name, champion=lot.two.name), None)
    assert (case.candidate.name, case.dataset.name) == (lot.one.name, lot.dataset.name)
    assert case.champion is not None
    assert case.champion.name == lot.two.name
    assert opened(exam(lot.folder, lot.base, lot.one.name), None).champion is None


def test_a_candidate_whose_file_was_cut_is_refused_in_one_line(lot: Lot, copy: Path) -> None:
    cut(copy, lot.one.name)
    with pytest.raises(RefusedError, match=f"adapter {lot.one.name} is damaged: .*not what was trained") as told:
        opened(exam(copy, lot.base, lot.one.name), None)
    assert "\n" not in str(told.value)


def test_a_champion_whose_file_was_cut_is_nobodys_verdict(lot: Lot, copy: Path) -> None:
    cut(copy, lot.two.name)
    with pytest.raises(BrokenError, match=f"the champion cannot be compared with: adapter {lot.two.name} is damaged"):
        opened(exam(copy, lot.base, lot.one.name, champion=lot.two.name), None)
    with pytest.raises(BrokenError, match="the champion cannot be compared with: no adapter"):
        opened(exam(copy, lot.base, lot.one.name, champion="mine-000000000000"), None)


def test_a_candidate_of_another_base_is_refused(lot: Lot, copy: Path, tmp_path: Path) -> None:
    other = tiny_base(tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "rope_theta": 500.0}))
    with pytest.raises(RefusedError, match=r"belongs to .* as it was, and not to .* as it is now"):
        opened(exam(copy, other, lot.one.name), None)


def test_a_base_that_is_not_there_is_no_fault_of_the_candidate(lot: Lot) -> None:
    with pytest.raises(BrokenError, match="the base cannot be read"):
        opened(exam(lot.folder, Path("/nowhere/at-all"), lot.one.name), None)


def test_an_adapter_or_data_set_that_nobody_knows_is_told(lot: Lot) -> None:
    with pytest.raises(UnknownError, match='no adapter "mine-000000000000"'):
        opened(exam(lot.folder, lot.base, "mine-000000000000"), None)
    with pytest.raises(UnknownError, match='no data set "abcdef"'):
        opened(exam(lot.folder, lot.base, lot.one.name, dataset="abcdef"), None)


def test_a_data_set_that_was_changed_is_told(lot: Lot, copy: Path) -> None:
    path = lot.dataset.path("dpo", "test")
    assert path is not None
    (copy / "datasets" / lot.dataset.name / path.relative_to(lot.dataset.folder)).write_text("{}\n")
    with pytest.raises(UnknownError, match=f"data set {lot.dataset.name} is damaged"):
        opened(exam(copy, lot.base, lot.one.name), None)


def test_lines_that_are_no_rows_are_told_with_file_and_line(lot: Lot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.evaluation.examination.opening.Datasets.open", lambda *_: _Lying(lot))
    with pytest.raises(UnknownError, match='dpo, test, line 2: "chosen" must be messages'):
        opened(exam(lot.folder, lot.base, lot.one.name), None)


class _Lying:
    """A data set whose maker was at fault: its hashes are right."""

    name = "f" * 64

    def __init__(self, lot: Lot) -> None:
        self._row = next(line for _, line in lot.dataset.identified("dpo", "test"))

    def verify(self) -> list[str]:
        return []

    def identified(self, kind: str, split: str) -> list[tuple[str, str]]:
        broken = json.dumps({**json.loads(self._row), "chosen": "Yes."})
        return [("a", self._row), ("b", broken)] if (kind, split) == ("dpo", "test") else []


def test_the_test_rows_are_asked_and_never_those_of_training(lot: Lot) -> None:
    rows = held_out(lot.dataset, "dpo", frozenset())
    assert {row.id for row in rows} == {row for row, _ in lot.dataset.identified("dpo", "test")}
    assert all(row.group.startswith("c-r-") for row in rows)
    gone = frozenset(row.id for row in rows)
    beside = held_out(lot.dataset, "dpo", gone)
    assert {row.id for row in beside} == {row for row, _ in lot.dataset.identified("dpo", "validation")}


def test_rows_that_either_model_was_trained_on_are_known(lot: Lot) -> None:
    seen = trained_on(_datasets(lot), lot.one, None)
    assert seen == {row for kind in ("dpo", "kto", "sft") for row, _ in lot.dataset.identified(kind, "train")}
    strange = random_adapter(lot.folder / "strange", lot.base, "e" * 64)
    assert trained_on(_datasets(lot), strange) == frozenset()
    with pytest.raises(DatasetError):
        _datasets(lot).open("e" * 64)


def _datasets(lot: Lot) -> Datasets:
    return Datasets(lot.folder / "datasets")


def test_a_sample_stays_as_it_is_when_others_come() -> None:
    few, many = [f"row-{n}" for n in range(40)], [f"row-{n}" for n in range(60)]
    assert set(sample(many, 20, 7, str)) & set(few) <= set(sample(few, 20, 7, str))
    assert sample(few, 20, 7, str) == sample(few[::-1], 20, 7, str) != sample(few, 20, 8, str)
    assert len(sample(few, 100, 7, str)) == 40


def test_a_spread_sample_takes_of_each_group_in_turn() -> None:
    items = [f"{group}{n}" for group, count in (("a", 50), ("b", 3), ("c", 2)) for n in range(count)]
    found = spread(items, 8, 7, str, lambda it: it[0])
    assert sorted(it[0] for it in found) == [*"aaa", *"bbb", *"cc"]


def test_the_light_checks_load_no_torch() -> None:
    module = "services.evaluation.examination.__main__"
    code = f"import sys, {module}; sys.exit(any(it in sys.modules for it in ('torch', 'transformers', 'mlflow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_adapter_that_is_here_needs_no_registry(lot: Lot) -> None:
    assert not Adapters(lot.models).open(lot.one.name).verify()
    assert opened(exam(lot.folder, lot.base, lot.one.name), "http://nobody.invalid:1").candidate.name == lot.one.name
