"""Trains in a process of its own, which dies with this one; what it says comes through a pipe."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from pydantic import SecretStr

from libs.bus import Retryable
from libs.child import Child
from services.retraining.domain.job import Ended, Job, Report
from services.retraining.training.__main__ import REGISTRY, REGISTRY_AWAY, TOLD_TO_STOP

_MODULE = "services.retraining.training"


class ChildTrainer:
    """`Trainer`. `registry`: MLflow's address. `grace`: seconds a training has to save itself when told to stop."""

    def __init__(self, runs: Path, registry: SecretStr, *, grace: float) -> None:
        self._runs, self._registry, self._grace = runs, registry, grace

    async def train(self, job: Job) -> AsyncGenerator[Report | Ended]:
        folder = self._runs / job.run_id
        if (ended := _ended(folder)) is None:
            environ = {REGISTRY: self._registry.get_secret_value()}
            child, code = Child(_MODULE, folder / "training.log", environ, self._grace), 0
            async with aclosing(child.run(str(folder))) as said:
                async for line in said:
                    if isinstance(line, int):
                        code = line
                    else:
                        yield Report.model_validate_json(line)
            ended = _end(folder, code, child)
        yield ended


def _end(folder: Path, code: int, child: Child) -> Ended:
    if (ended := _ended(folder)) is not None:
        return ended
    if code == REGISTRY_AWAY:
        raise Retryable(child.last_words())
    if code == TOLD_TO_STOP:
        raise Retryable("the training was told to stop; it goes on from where it was")
    raise RuntimeError(f"the training ended with {code}: {child.last_words()}; more in {child.log}")


def _ended(folder: Path) -> Ended | None:
    path = folder / "ended.json"
    return Ended.model_validate_json(path.read_bytes()) if path.exists() else None
