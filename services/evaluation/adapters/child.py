"""Examines in a process of its own, which dies with this one; what it says comes through a pipe."""

from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

from pydantic import SecretStr

from libs.child import Child
from services.evaluation.domain.exam import Exam, Measured, Report
from services.evaluation.examination.__main__ import JUDGE_KEY, MEASURED, REGISTRY, REGISTRY_AWAY

_GRACE_SECONDS = 2.0
_WAITS = {REGISTRY_AWAY: None}


class ChildExaminer:
    """`Examiner`. `registry`: MLflow's address, asked where an adapter's folder is missing."""

    def __init__(self, reports: Path, registry: SecretStr, judge_api_key: SecretStr | None) -> None:
        self._reports = reports
        self._environ = {REGISTRY: registry, **({JUDGE_KEY: judge_api_key} if judge_api_key is not None else {})}

    def examine(self, exam: Exam) -> AsyncGenerator[Report | Measured]:
        folder = self._reports / exam.evaluation_id
        environ = {name: value.get_secret_value() for name, value in self._environ.items()}
        child = Child("services.evaluation.examination", folder / "examination.log", environ, _GRACE_SECONDS)
        return child.work(str(folder), report=Report, ended=partial(_measured, folder), waits=_WAITS)


def _measured(folder: Path) -> Measured | None:
    path = folder / MEASURED
    return Measured.model_validate_json(path.read_bytes()) if path.exists() else None
