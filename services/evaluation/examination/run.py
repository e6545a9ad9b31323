"""One examination from its case to what was measured. Each exam that is done is kept, and not done again."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from transformers.utils import logging as transformers_logging

from libs.datasets import Datasets
from libs.files import write_whole
from libs.language_models import resolve_model
from services.evaluation.domain.exam import Exam, Measured, Report
from services.evaluation.examination.asking import Found, Given, Planned
from services.evaluation.examination.errors import BrokenError, RefusedError
from services.evaluation.examination.exams import EXAMS
from services.evaluation.examination.held_out import trained_on
from services.evaluation.examination.opening import Case
from services.evaluation.examination.students import Students
from services.evaluation.examination.tokens import Reader
from services.evaluation.examination.weights import fault_of_weights

SCORES, SAMPLES = "scores", "samples.jsonl"
Say = Callable[[Report], None]


class Kept(BaseModel):
    """`scores/<exam>.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    found: Found
    seconds: float


def examine(case: Case, folder: Path, pipe: int | None, judge_key: str | None) -> Measured:
    """All exams of the gate. Raises RefusedError, BrokenError."""
    exam = case.exam
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if exam.threads is not None:
        torch.set_num_threads(exam.threads)
    device = device_of(exam)
    base = resolve_model(exam.base)
    _check_weights(case, base)
    reader = Reader(base, exam.gate.exams.max_length)
    seen = trained_on(Datasets(exam.datasets), case.candidate, case.champion)
    given = Given(case, reader, seen, folder, judge_key, device.type)
    plans = [plan(given) for plan in EXAMS]
    room = _Room(case, base, device, reader)
    kept = _all(plans, folder, room, _Telling(telling(pipe), sum(it.steps for it in plans)))
    write_whole(folder / SAMPLES, "".join(f"{it.model_dump_json()}\n" for one in kept for it in one.found.samples))
    return Measured(
        dataset=case.dataset.name,
        scores=tuple(score for one in kept for score in one.found.scores),
        missing={metric: why for one in kept for metric, why in one.found.missing.items()},
        seconds=sum(it.seconds for it in kept),
    )


def telling(pipe: int | None) -> Say:
    """Each report goes to whoever waits at the other end of the pipe."""

    def say(report: Report) -> None:
        if pipe is not None:
            os.write(pipe, f"{report.model_dump_json()}\n".encode())

    return say


def device_of(exam: Exam) -> torch.device:
    """Where it is examined."""
    on_gpu = exam.device == "cuda" or (exam.device == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if on_gpu else "cpu")


def _check_weights(case: Case, base: Path) -> None:
    if fault := fault_of_weights(case.candidate, base):
        raise RefusedError(f"adapter {case.candidate.name} is damaged: {fault}")
    if case.champion is not None and (fault := fault_of_weights(case.champion, base)):
        raise BrokenError(f"the champion {case.champion.name} is damaged: {fault}; roll it back, or restore it")


class _Room:
    """Where the models are, once somebody asks them."""

    def __init__(self, case: Case, base: Path, device: torch.device, reader: Reader) -> None:
        self.case, self._base, self._device, self._reader = case, base, device, reader
        self._students: Students | None = None

    def students(self) -> Students:
        """Loaded when they are first needed."""
        if self._students is None:
            champion = self.case.champion.folder if self.case.champion is not None else None
            self._students = Students(self._base, self.case.candidate.folder, champion, self._device, self._reader.ends)
        return self._students


class _Telling:
    """Counts the steps of all exams, and reports each."""

    def __init__(self, say: Say, steps: int) -> None:
        self._say, self._steps, self._step = say, steps, 0

    def __call__(self, exam: str, steps: int) -> None:
        self._step += steps
        self._say(Report(exam=exam, step=self._step, steps=self._steps, at_ms=int(time.time() * 1000)))


def _all(plans: list[Planned], folder: Path, room: _Room, tell: _Telling) -> list[Kept]:
    found = []
    for plan in plans:
        file = folder / SCORES / f"{plan.name}.json"
        kept = _read(file, room.case.dataset.name)
        if kept is None:
            tell(plan.name, 0)
            start = time.monotonic()
            asked = plan.ask(room.students(), lambda plan=plan: tell(plan.name, 1))  # type: ignore[misc]
            kept = Kept(dataset=room.case.dataset.name, found=asked, seconds=time.monotonic() - start)
            write_whole(file, kept.model_dump_json(), durable=True)
        else:
            tell(plan.name, plan.steps)
        found.append(kept)
    return found


def _read(file: Path, dataset: str) -> Kept | None:
    """What was found before; None: nothing, or of another data set, where the exam names none for sure."""
    try:
        kept = Kept.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
    return kept if kept.dataset == dataset else None
