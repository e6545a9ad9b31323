"""A training on two processes by Ray Train, killed and begun again: one adapter, of rows that were dealt among them."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from libs.model_registry import Adapters
from services.retraining.adapters.child import ChildTrainer
from services.retraining.adapters.recipe_files import read_recipes
from services.retraining.adapters.run_folder import RunFolder
from services.retraining.domain.job import Ended, Job, Report
from tests.support.trainings import published, recipe_file, tiny_base

pytestmark = pytest.mark.timeout(900)


async def test_two_processes_train_one_adapter_and_go_on_after_a_kill(tmp_path: Path) -> None:
    dataset = published(tmp_path / "datasets", 24)
    job = RunFolder(tmp_path / "runs").begin(
        Job(
            run_id="run-1",
            request_id="one",
            recipe=read_recipes(recipe_file(tmp_path / "recipes", max_steps=8))["quick"],
            seed=7,
            dataset=dataset.name,
            datasets=dataset.folder.parent,
            models=tmp_path / "models",
            base=str(tiny_base(tmp_path / "base")),
            workers=2,
            device="cpu",
            threads=1,
        )
    )
    registry = SecretStr(f"sqlite:///{tmp_path / 'mlflow.db'}")
    heard: list[Report | Ended] = []
    reports = ChildTrainer(tmp_path / "runs", registry, grace=0).train(job)
    while not (tmp_path / "runs" / "run-1" / "work" / "checkpoints" / "checkpoint-2" / "whole.json").exists():
        heard.append(await anext(reports))
    await reports.aclose()

    async with asyncio.timeout(600):
        heard = [said async for said in ChildTrainer(tmp_path / "runs", registry, grace=0).train(job)]
    assert isinstance(heard[0], Report)
    assert heard[0].status == "resumed"
    assert isinstance(heard[-1], Ended)
    adapter = Adapters(tmp_path / "models").open(heard[-1].model or "")
    assert adapter.verify() == []
    assert adapter.card.workers == 2
    # 8 steps of 2 rows each on 2 processes.
    assert adapter.card.change.epochs == pytest.approx(8 * 4 / adapter.card.trained.train, abs=0.5)
