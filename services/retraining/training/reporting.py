"""What a training says while it goes on, when it saves, and when it gives up."""

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from services.retraining.domain.job import Report
from services.retraining.training import checkpoints
from services.retraining.training.choosing import RefusedError

Say = Callable[[Report], None]
JOURNAL = "progress.jsonl"


class Reporting(TrainerCallback):
    """Reports what is logged, seals what is saved, stops where the loss is no number, and saves when told to stop."""

    def __init__(self, say: Say, stopped: Callable[[], bool], *, seals: bool = True) -> None:
        self.say, self._stopped, self._seals = say, stopped, seals
        self.was_stopped = False

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.say(_report("resumed" if state.global_step else "started", state, {}))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        found = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        if not all(math.isfinite(found.get(name, 0.0)) for name in ("loss", "eval_loss", "train_loss", "grad_norm")):
            raise RefusedError(
                f"the loss is no finite number at step {state.global_step}: lower the recipe's learning_rate, or look "
                "for rows that make no sense"
            )
        self.say(_report("training", state, {name: v for name, v in found.items() if math.isfinite(v)}))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._stopped():
            self.was_stopped = True
            control.should_save = control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._seals and state.is_world_process_zero:
            checkpoints.seal(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")


def trained(state: TrainerState, metrics: dict[str, float]) -> Report:
    """The last report."""
    return _report("trained", state, {name: value for name, value in metrics.items() if math.isfinite(value)})


def writing_to(journal: Path) -> Say:
    """Each report is a line in a file."""

    def say(report: Report) -> None:
        with journal.open("ab") as file:
            # A line that a crash cut off ends here.
            file.write(f"{'' if _ends(journal) else chr(10)}{report.model_dump_json()}\n".encode())

    return say


def _ends(journal: Path) -> bool:
    """Whether its last line is whole."""
    with journal.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def telling(pipe: int | None) -> Say:
    """Each report goes to whoever waits at the other end of the pipe."""

    def say(report: Report) -> None:
        if pipe is not None:
            os.write(pipe, f"{report.model_dump_json()}\n".encode())

    return say


def journal_of(file: Path) -> list[Report]:
    """All reports of a training, of its earlier lives too; a line that a crash cut off is passed over."""
    if not file.exists():
        return []
    found = []
    for line in file.read_bytes().splitlines():
        try:
            found.append(Report.model_validate(json.loads(line)))
        except ValueError:
            continue
    return found


def _report(status: Any, state: TrainerState, metrics: dict[str, float]) -> Report:
    now = int(time.time() * 1000)
    return Report(status=status, step=state.global_step, steps=max(state.max_steps, 0), metrics=metrics, at_ms=now)
