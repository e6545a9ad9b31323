"""Trains in a process of its own, which dies with this one; what it says comes through a pipe."""

from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from libs.child import Child
from services.retraining.domain.job import Ended, Job, Report
from services.retraining.training.__main__ import REGISTRY, REGISTRY_AWAY, TOLD_TO_STOP

_WAITS = {REGISTRY_AWAY: None, TOLD_TO_STOP: "the training was told to stop; it goes on from where it was"}


class ChildTrainer:
    """`Trainer`. `registry`: MLflow's address. `grace`: seconds a training has to save itself when told to stop."""

    def __init__(self, runs: Path, registry: SecretStr, *, grace: float) -> None:
        self._runs, self._registry, self._grace = runs, registry, grace

    def train(self, job: Job) -> AsyncGenerator[Report | Ended]:
        folder = self._runs / job.run_id
        environ = {REGISTRY: self._registry.get_secret_value()}
        child = Child("services.retraining.training", folder / "training.log", environ, self._grace)
        return child.work(str(folder), report=Report, ended=partial(_ended, folder), waits=_WAITS)


def _ended(folder: Path) -> Ended | None:
    path = folder / "ended.json"
    return Ended.model_validate_json(path.read_bytes()) if path.exists() else None
