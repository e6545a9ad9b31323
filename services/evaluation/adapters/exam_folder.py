"""Exams and what became of them, as files in a folder: `Memory`."""

import json
import threading
from pathlib import Path

from libs.files import write_whole
from libs.model_registry import Examinations
from schemas.evaluation import ModelEvaluated
from services.evaluation.domain.exam import Exam
from services.evaluation.domain.report import Sample, as_markdown

EXAM, SAMPLES = "exam.json", "samples.jsonl"
_SHOWN = 12


class ExamFolder:
    """One folder for each examination."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ended = Examinations(folder)
        self._lock = threading.Lock()

    def exam(self, evaluation_id: str) -> Exam | None:
        path = self.folder / evaluation_id / EXAM
        return Exam.model_validate_json(path.read_bytes()) if path.exists() else None

    def begin(self, exam: Exam) -> Exam:
        with self._lock:
            if (begun := self.exam(exam.evaluation_id)) is not None:
                return begun
            write_whole(self.folder / exam.evaluation_id / EXAM, exam.model_dump_json(indent=2), durable=True)
        return exam

    def keep(self, said: ModelEvaluated) -> None:
        self._ended.keep(said, as_markdown(said, self._samples(said.evaluation_id)))

    def said(self, evaluation_id: str) -> ModelEvaluated | None:
        return self._ended.said(evaluation_id)

    def last(self, model: str) -> ModelEvaluated | None:
        return self._ended.last(model)

    def _samples(self, evaluation_id: str) -> list[Sample]:
        """A few of each exam."""
        try:
            lines = (self.folder / evaluation_id / SAMPLES).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        told = [Sample(**json.loads(line)) for line in lines]
        kinds = dict.fromkeys(it.exam for it in told)
        each = max(1, _SHOWN // max(1, len(kinds)))
        return [it for kind in kinds for it in [it for it in told if it.exam == kind][:each]]
