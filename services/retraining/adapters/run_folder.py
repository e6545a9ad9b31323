"""Trainings and what was asked for, as files in a folder: `Memory`."""

import json
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

from libs.files import write_whole
from services.retraining.domain.job import Job

JOB = "job.json"


class RunFolder:
    """One folder for each training, and `asked.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def job(self, run_id: str) -> Job | None:
        path = self.folder / run_id / JOB
        return Job.model_validate_json(path.read_bytes()) if path.exists() else None

    def begin(self, job: Job) -> Job:
        # Noted first: a crash in between costs nothing, since the request comes again.
        self.note_asked(job.recipe.name, job.dataset)
        with self._lock:
            if (begun := self.job(job.run_id)) is not None:
                return begun
            (self.folder / job.run_id).mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / job.run_id / JOB, job.model_dump_json(indent=2), durable=True)
        return job

    def asked(self, recipe: str) -> str | None:
        found: str | None = self._noted(recipe).get("dataset")
        return found

    def asked_for_rows(self, recipe: str) -> str | None:
        found: str | None = self._noted(recipe).get("for_rows")
        return found

    def note_asked(self, recipe: str, dataset: str, *, for_rows: bool = False) -> None:
        self._note(recipe, dataset=dataset, **({"for_rows": dataset} if for_rows else {}))

    def ticked(self, recipe: str) -> datetime | None:
        found = self._noted(recipe).get("tick")
        return datetime.fromisoformat(found) if found is not None else None

    def note_ticked(self, recipe: str, tick: datetime) -> None:
        self._note(recipe, tick=tick.isoformat())

    def _noted(self, recipe: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / f"asked-{recipe}.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def _note(self, recipe: str, **values: str) -> None:
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(
                self.folder / f"asked-{recipe}.json", json.dumps({**self._noted(recipe), **values}), durable=True
            )
