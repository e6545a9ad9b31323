"""Part i: whether the gate lets a better model pass and stops twenty that were sabotaged, with the real model.

A known rule (answers begin with thanks, or do not) is learned from pairs; gains are points of held-out preference
accuracy over the bare base, by the shipped gate's rules on smaller exams.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from libs.datasets import Dataset, Datasets, read_policy
from libs.datasets.policy import Splits
from libs.language_models import DEFAULT_MODEL
from libs.model_registry import Adapter, Adapters
from services.evaluation.adapters.gate_files import read_gates
from services.evaluation.domain.exam import Exam, Measured
from services.evaluation.domain.gate import Gate
from services.evaluation.domain.verdict import Verdict, verdict
from services.evaluation.examination.__main__ import MEASURED
from services.evaluation.examination.__main__ import main as examine
from services.retraining.adapters.recipe_files import read_recipes
from services.retraining.adapters.run_folder import RunFolder
from services.retraining.domain.job import Ended, Job
from services.retraining.training.__main__ import REGISTRY
from services.retraining.training.__main__ import main as train
from tests.bench.frame import Bench, Finding, Goal, Part, Row
from tests.support.sabotage import noisy, truncated
from tests.support.trainings import polite, recipe_file

_PAIRS, _EACH = 120, 5
_EXAMS: dict[str, Any] = {"pairs": 40, "texts": 12, "answers": 0, "trials": 8, "questions": 0}
_GOOD = {"max_steps": 8, "learning_rate": 3e-4, "per_device_train_batch_size": 4, "warmup_steps": 2}
_OVER_TRAINED = {"max_steps": 16, "learning_rate": 1e-2, "per_device_train_batch_size": 2}


async def run(bench: Bench) -> Finding:
    """The good one's gain, and how many of the others pass."""
    place = Place(bench)
    good_set = place.dataset(flipped=True)
    good = place.trained("good", good_set, 1, _GOOD)
    passed = place.judged(good, good_set)
    stopped: list[tuple[str, Verdict]] = [
        (kind, place.judged(made, good_set)) for kind, made in place.sabotaged(good, good_set)
    ]
    kinds = dict.fromkeys(kind for kind, _ in stopped)
    rows: list[Row] = [_row("trained as it should be", [passed])]
    rows += [_row(kind, [found for it, found in stopped if it == kind]) for kind in kinds]
    accuracy = passed.metrics["preference_accuracy"]
    gain = 100 * (accuracy["candidate"] - accuracy["champion"])
    goals = [
        Goal("points gained", gain, at_least=10),
        Goal("good candidates that pass", float(passed.passed), at_least=1),
        Goal("sabotaged candidates that pass", float(sum(found.passed for _, found in stopped)), at_most=0),
    ]
    note = f"{DEFAULT_MODEL}; {len(stopped)} sabotaged; {_PAIRS} pairs, 0.4 of them held out; champion: the bare base."
    return Finding(rows, goals, [note])


def _row(kind: str, found: list[Verdict]) -> Row:
    said = [reason.split(":")[0] for it in found for reason in it.reasons if not it.passed]
    reasons = dict.fromkeys("its file is damaged" if it.endswith("is damaged") else it for it in said)
    return {
        "candidate": kind,
        "examined": len(found),
        "passed": sum(it.passed for it in found),
        "stopped by": ", ".join(reasons)[:120],
    }


class Place:
    """Folders of one run, and what is made in them."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._folder = bench, bench.folder
        self._adapters = Adapters(self._folder / "models")
        self._datasets = Datasets(self._folder / "datasets")
        rules = read_gates()["default"].model_dump(mode="json")
        self._gate = Gate.model_validate({**rules, "exams": _EXAMS})
        self._count = max(1, bench.times(_EACH))
        os.environ[REGISTRY] = f"sqlite:///{self._folder / 'mlflow.db'}"
        os.environ["HF_HUB_OFFLINE"] = "1"

    def dataset(self, *, flipped: bool, start: int = 0) -> Dataset:
        policy = read_policy().model_copy(update={"splits": Splits(train=0.6, validation=0.0, test=0.4)})
        return self._datasets.publish(polite(_PAIRS, start=start, flipped=flipped), policy).dataset

    def sabotaged(self, good: Adapter, good_set: Dataset) -> Iterator[tuple[str, Adapter]]:
        """Kind and adapter of each."""
        for number in range(self._count):
            flipped = self.dataset(flipped=False, start=1000 * (number + 1))
            yield "flipped labels", self.trained(f"flipped-{number}", flipped, number, _GOOD)
        for number in range(self._count):
            yield "noise weights", noisy(self._adapters, good, number)
        for number in range(self._count):
            yield "truncated", truncated(self._adapters, good, number)
        for number in range(self._count):
            yield "over-trained", self.trained(f"over-{number}", good_set, number, _OVER_TRAINED)

    def trained(self, name: str, dataset: Dataset, seed: int, rules: dict[str, Any]) -> Adapter:
        """By retraining's own process, in this one."""
        self._bench.say(f"training {name}")
        recipe = read_recipes(recipe_file(self._folder / f"recipes-{name}", **{"save_steps": 1000, **rules}))["quick"]
        runs = RunFolder(self._folder / "runs")
        job = Job(
            run_id=f"run-{name}", request_id=name, recipe=recipe, seed=seed, dataset=dataset.name, base=DEFAULT_MODEL,
            datasets=self._datasets.folder, models=self._adapters.folder, device="cpu",
        )  # fmt: skip
        runs.begin(job)
        folder = runs.folder / job.run_id
        code = train(folder)
        ended = Ended.model_validate_json((folder / "ended.json").read_bytes())
        if ended.model is None:
            raise RuntimeError(f"{name} ended with {code}: {ended.refused}")
        return self._adapters.open(ended.model)

    def judged(self, candidate: Adapter, dataset: Dataset) -> Verdict:
        """Against the bare base, by evaluation's own process, in this one."""
        self._bench.say(f"examining {candidate.name}")
        folder: Path = self._folder / "exams" / candidate.name
        folder.mkdir(parents=True)
        exam = Exam(
            evaluation_id=candidate.name, request_id="q", model=candidate.name, champion=None, gate=self._gate,
            dataset=dataset.name, datasets=self._datasets.folder, models=self._adapters.folder, base=DEFAULT_MODEL,
            device="cpu",
        )  # fmt: skip
        (folder / "exam.json").write_text(exam.model_dump_json())
        code = examine(folder)
        if code:
            raise RuntimeError(f"the examination of {candidate.name} ended with {code}")
        found = verdict(self._gate, Measured.model_validate_json((folder / MEASURED).read_bytes()))
        self._bench.say(f"  {'passed' if found.passed else 'stopped'}: {found.reasons[0]}")
        return found


PARTS = (Part("i", "A gate, a better model, and twenty sabotaged ones", run),)
