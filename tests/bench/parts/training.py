"""Part h: what a training costs beside a plain TRL script on the same rows, with the real model on this machine.

Whole processes, from their start to their end: ours checks the rows, seals checkpoints, writes a card, and registers.
"""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from libs.datasets import Dataset
from libs.language_models import DEFAULT_MODEL, default_model_dir
from services.retraining.adapters.recipe_files import read_recipes
from services.retraining.adapters.run_folder import RunFolder
from services.retraining.domain.job import Job
from services.retraining.training.__main__ import REGISTRY
from tests.bench.frame import Bench, Finding, Goal, Part, Row, in_turn, ratio_of_medians
from tests.support.trainings import published, recipe_file

_ROUNDS = 3
_STEPS = 24
_ROWS = 64


async def run(bench: Bench) -> Finding:
    """Seconds of each side, in turn."""
    steps = max(2, bench.times(_STEPS))
    dataset = published(bench.folder / "datasets", _ROWS)
    rows, held_out = dataset.path("dpo", "train"), dataset.path("dpo", "validation")
    base = default_model_dir()

    async def plain(number: int) -> float:
        bench.say(f"a plain script, round {number + 1}")
        folder = bench.folder / f"plain-{number}"
        return await _seconds(
            bench, "tests.bench.plain_trl", str(base), str(rows), str(held_out), str(folder), str(steps)
        )

    async def ours(number: int) -> float:
        bench.say(f"retraining, round {number + 1}")
        folder = _job(bench.folder, dataset, steps, number)
        return await _seconds(bench, "services.retraining.training", str(folder))

    found = await in_turn(_ROUNDS, {"retraining": ours, "plain TRL": plain})
    ratio = ratio_of_medians(found["retraining"], found["plain TRL"])
    table: list[Row] = [{"side": name, "seconds": sorted(values)[len(values) // 2]} for name, values in found.items()]
    note = f"DPO with LoRA, {steps} steps of 2 pairs, {DEFAULT_MODEL}, two validations; median of {_ROUNDS} rounds."
    return Finding([*table, {"side": "ratio", "seconds": ratio}], [Goal("retraining's", ratio, at_most=1.1)], [note])


def _job(folder: Path, dataset: Dataset, steps: int, number: int) -> Path:
    rules: dict[str, Any] = {"max_steps": steps, "save_steps": steps // 2, "logging_steps": 1}
    recipe = read_recipes(recipe_file(folder / "recipes", **rules))["quick"]
    runs = RunFolder(folder / "runs")
    run_id = f"run-{number}"
    where = {"datasets": dataset.folder.parent, "models": folder / f"models-{number}"}
    runs.begin(
        Job(
            run_id=run_id, request_id=run_id, recipe=recipe, seed=7, dataset=dataset.name, base=DEFAULT_MODEL,
            device="cpu", **where,
        )
    )  # fmt: skip
    return runs.folder / run_id


async def _seconds(bench: Bench, module: str, *arguments: str) -> float:
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", REGISTRY: f"sqlite:///{bench.folder / 'mlflow.db'}"}
    command = [sys.executable, "-m", module, *arguments]
    started = time.perf_counter()
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, env=environ)
    return time.perf_counter() - started


PARTS = (Part("h", "A training beside a plain TRL script", run),)
