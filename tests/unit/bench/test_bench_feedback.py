"""The parts of the benchmark of feedback measure what they say, at a size that is no matter."""

from pathlib import Path

from libs.datasets import Datasets, read_policy
from tests.bench import dataset_memory
from tests.bench.parts.feedback import table


def test_the_examples_are_the_same_whenever_they_are_made_and_meet_every_rule(tmp_path: Path) -> None:
    crowd = list(dataset_memory.examples(60))
    assert crowd == list(dataset_memory.examples(60))
    manifest = Datasets(tmp_path).publish(crowd, read_policy()).dataset.manifest
    assert all(manifest.rows_of(kind) for kind in ("dpo", "kto", "sft"))
    assert manifest.left_out["rows"]["near-duplicate"]


def test_a_measurement_becomes_a_row(tmp_path: Path) -> None:
    found = {"count": 30, **dataset_memory.measure(30, tmp_path)}
    (row,) = table("x", [found])
    assert row["how many"] == "30"
    assert float(row["memory, MB"]) > 0
