"""Examines in a process of its own, which dies with this one."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from pydantic import SecretStr

from libs.bus import Retryable
from libs.child import Child
from services.evaluation.domain.exam import Exam, Measured, Report
from services.evaluation.examination.__main__ import JUDGE_KEY, MEASURED, REGISTRY, REGISTRY_AWAY

_MODULE = "services.evaluation.examination"
_GRACE_SECONDS = 2.0


class ChildExaminer:
    """`Examiner`. `registry`: MLflow's address, asked where an adapter's folder is missing."""

    def __init__(self, reports: Path, registry: SecretStr, judge_api_key: SecretStr | None) -> None:
        self._reports = reports
        self._environ = {REGISTRY: registry, **({JUDGE_KEY: judge_api_key} if judge_api_key is not None else {})}

    async def examine(self, exam: Exam) -> AsyncGenerator[Report | Measured]:
        folder = self._reports / exam.evaluation_id
        if (measured := _measured(folder)) is None:
            environ = {name: value.get_secret_value() for name, value in self._environ.items()}
            child, code = Child(_MODULE, folder / "examination.log", environ, _GRACE_SECONDS), 0
            async with aclosing(child.run(str(folder))) as said:
                async for line in said:
                    if isinstance(line, int):
                        code = line
                    else:
                        yield Report.model_validate_json(line)
            measured = _end(folder, code, child)
        yield measured


def _end(folder: Path, code: int, child: Child) -> Measured:
    if (measured := _measured(folder)) is not None:
        return measured
    if code == REGISTRY_AWAY:
        raise Retryable(child.last_words())
    raise RuntimeError(f"the examination ended with {code}: {child.last_words()}; more in {child.log}")


def _measured(folder: Path) -> Measured | None:
    path = folder / MEASURED
    return Measured.model_validate_json(path.read_bytes()) if path.exists() else None
