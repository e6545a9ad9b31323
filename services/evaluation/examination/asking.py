"""What one exam is: planned without the model, so that all steps are known; then asked, and found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from schemas.evaluation import MetricName
from services.evaluation.domain.exam import Scores
from services.evaluation.domain.gate import Gate
from services.evaluation.examination.opening import Case

if TYPE_CHECKING:
    from services.evaluation.examination.students import Students
    from services.evaluation.examination.tokens import Reader

Tick = Callable[[], None]
"""Called after each step."""
OFF = "turned off by the gate"


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sample(_Fact):
    """What both models wrote, for people: a line of `samples.jsonl`."""

    exam: str
    prompt: str
    reference: str | None
    candidate: str
    champion: str


class Found(_Fact):
    """What came of one exam."""

    scores: tuple[Scores, ...] = ()
    missing: dict[MetricName, str] = {}
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Given:
    """What an exam is planned of."""

    case: Case
    reader: "Reader"
    seen: frozenset[str]
    """Rows that either model was trained on."""
    folder: Path
    """Of the examination."""
    judge_key: str | None
    device: str
    """`cpu` or `cuda`."""

    @property
    def gate(self) -> Gate:
        """What is asked, and how much of it."""
        return self.case.exam.gate


@dataclass(frozen=True)
class Planned:
    """One exam, ready to be asked."""

    name: str
    steps: int
    ask: Callable[["Students", Tick], Found]


def nothing(name: str, metrics: Iterable[MetricName], why: str) -> Planned:
    """An exam that cannot be, and why."""
    found = Found(missing=dict.fromkeys(metrics, why))
    return Planned(name, 0, lambda _students, _tick: found)
