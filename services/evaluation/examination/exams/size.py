"""How large the adapters are: nothing is asked."""

from pathlib import Path

from libs.model_registry.adapters import WEIGHTS
from services.evaluation.domain.exam import Scores
from services.evaluation.examination.asking import Found, Given, Planned


def size(given: Given) -> Planned:
    """`adapter_bytes`; the bare base has none."""
    case = given.case
    score = Scores(
        metric="adapter_bytes",
        candidate=((_bytes(case.candidate.folder), 1.0),),
        champion=((_bytes(case.champion.folder) if case.champion is not None else 0.0, 1.0),),
        groups=(case.candidate.name,),
    )
    return Planned("size", 0, lambda _students, _tick: Found(scores=(score,)))


def _bytes(folder: Path) -> float:
    return float((folder / WEIGHTS).stat().st_size)
