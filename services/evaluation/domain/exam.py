"""One examination as it is handed to the process that does it, and what came of it."""

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from schemas.base import Identifier
from schemas.evaluation import MetricName
from services.evaluation.domain.gate import Gate


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Exam(_Fact):
    """`exam.json`, fixed when the examination begins: begun again after a crash, it is the same one."""

    evaluation_id: Identifier
    request_id: Identifier
    model: Identifier
    champion: Identifier | None
    """None: the bare base."""
    gate: Gate
    dataset: Identifier | None
    """None: that of the candidate's card."""
    datasets: Path
    models: Path
    base: str
    """As `libs.language_models.resolve_model` takes it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None


class Scores(_Fact):
    """One metric, item by item: the numbers that it is a sum of, of both models, in the same order."""

    metric: MetricName
    candidate: tuple[tuple[float, ...], ...]
    champion: tuple[tuple[float, ...], ...]
    groups: tuple[str, ...]
    """Items of one group (a conversation, a document) are drawn together: they are no independent witnesses."""


class Measured(_Fact):
    """`measured.json`, once all is done."""

    refused: str = ""
    """Why the candidate cannot be examined, and fails: damaged, not finite, of another base."""
    unknown: str = ""
    """Why there is nothing to examine: no such adapter or data set."""
    dataset: Identifier | None = None
    scores: tuple[Scores, ...] = ()
    missing: dict[MetricName, str] = {}
    """What could not be measured, and why."""
    seconds: float = 0.0


class Report(_Fact):
    """A line on the pipe."""

    exam: str
    step: int
    steps: int
    at_ms: int


def evaluation_id_of(request_id: str) -> str:
    """The one examination of a request."""
    return f"eval-{hashlib.sha256(request_id.encode()).hexdigest()[:16]}"
