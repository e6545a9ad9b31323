"""One training as it is handed to the process that does it, and how that ended."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.base import Identifier
from services.retraining.domain.recipe import Recipe


class Job(BaseModel):
    """Fixed when the training begins: begun again after a crash, it is the same one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: Identifier
    request_id: Identifier
    recipe: Recipe
    seed: int
    dataset: Identifier
    datasets: Path
    """The folder of data sets."""
    models: Path
    """The folder of adapters."""
    base: str
    """As `libs.language_models.resolve_model` takes it."""
    workers: int = 1
    ray_address: str | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None


class Start(BaseModel):
    """Looked up when the training begins, and fixed then: `start.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapter: Identifier | None = None
    """The one it starts from; None: the bare base."""


class Ended(BaseModel):
    """What became of it; on disk once nothing is left to do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    """The adapter's name; None: none will come of it, and `refused` says why."""
    version: str = ""
    refused: str = ""


class Report(BaseModel):
    """A line of `progress.jsonl`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Literal["started", "resumed", "training", "trained"]
    step: int
    steps: int
    metrics: dict[str, float] = {}
    at_ms: int


def run_id_of(request_id: str) -> str:
    """The one training of a request."""
    return f"run-{hashlib.sha256(request_id.encode()).hexdigest()[:16]}"
