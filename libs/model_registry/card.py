"""The model card: what an adapter was made of and by, for people (Markdown) and for programs (JSON)."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from schemas.base import Identifier
from schemas.training import Method


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Base(_Fact):
    """The model that an adapter belongs to."""

    name: str
    digest: str
    """SHA-256 over its configuration and weights."""


class Trained(_Fact):
    """On what, in rows."""

    dataset: Identifier
    policy: str
    """`name@version-digest` of the data set's rules."""
    train: int
    replayed: int
    """Of `train`, rows that the adapter it started from had been trained on."""
    validation: int


class Change(_Fact):
    """From the start to the end of the training."""

    steps: int
    epochs: float
    seconds: float
    metrics: dict[str, float]


class ModelCard(_Fact):
    """`card.json` beside an adapter."""

    format: int = 1
    name: Identifier
    digest: str
    """SHA-256 over the adapter's configuration and weights."""
    run_id: Identifier
    request_id: Identifier
    recipe: str
    method: Method
    rules: dict[str, Any]
    """The recipe, whole."""
    base: Base
    started_from: Identifier | None
    trained: Trained
    seed: int
    workers: int
    device: str
    libraries: dict[str, str]
    change: Change
    trained_at: datetime

    def as_markdown(self) -> str:
        """`README.md` beside the adapter."""
        start = f"adapter `{self.started_from}`" if self.started_from else "the bare base"
        libraries = ", ".join(f"{name} {version}" for name, version in sorted(self.libraries.items()))
        metrics = "".join(f"| {name} | {value:.6g} |\n" for name, value in sorted(self.change.metrics.items()))
        return (
            f"---\nlibrary_name: peft\nbase_model: {self.base.name}\ntags: [{self.method}, lora, trl]\n---\n"
            f"# {self.name}\n\nA LoRA adapter for `{self.base.name}`, trained by {self.method.upper()} on what people "
            "said of its answers.\nThe data set's texts were masked: placeholders stand where personal data stood.\n\n"
            "| | |\n|---|---|\n"
            f"| recipe | `{self.recipe}` |\n"
            f"| data set | `{self.trained.dataset}` (policy `{self.trained.policy}`) |\n"
            f"| rows | {self.trained.train} trained on, {self.trained.replayed} of them replayed; "
            f"{self.trained.validation} held out |\n"
            f"| base | `{self.base.name}`, SHA-256 `{self.base.digest}` |\n"
            f"| started from | {start} |\n"
            f"| seed | {self.seed} |\n"
            f"| steps | {self.change.steps} in {self.change.epochs:g} epochs, {self.change.seconds:.0f} s, "
            f"{self.workers} process{'es' if self.workers > 1 else ''} on {self.device} |\n"
            f"| libraries | {libraries} |\n"
            f"| run | `{self.run_id}`, asked for as `{self.request_id}` |\n"
            f"| trained at | {self.trained_at:%Y-%m-%dT%H:%M:%SZ} |\n"
            f"| content | SHA-256 `{self.digest}` |\n\n"
            f"| at the end | |\n|---|---|\n{metrics}\n"
            "Not examined yet when this was written: whether it serves is for the gate to say.\n"
        )
