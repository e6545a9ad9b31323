"""What retraining needs from outside: somebody who trains, and a memory of what was asked for."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Protocol

from services.retraining.domain.job import Ended, Job, Report


class Trainer(Protocol):
    """Does jobs."""

    def train(self, job: Job) -> AsyncGenerator[Report | Ended]:
        """What it reports, and how it ended, last. The same job again goes on where it was, or says how it ended.

        Closing it stops the training, which keeps what it has done. Raises Retryable, or RuntimeError where it broke.
        """


class Memory(Protocol):
    """What was asked for, by recipe. Methods block."""

    def job(self, run_id: str) -> Job | None:
        """The job of a training that has begun."""

    def begin(self, job: Job) -> Job:
        """Fixes it, if none of its run is fixed; the one that is fixed. Its data set counts as asked for."""

    def asked(self, recipe: str) -> str | None:
        """The data set that a training by this recipe was last asked for."""

    def asked_for_rows(self, recipe: str) -> str | None:
        """The data set for which its own rule, so many new rows, last asked."""

    def note_asked(self, recipe: str, dataset: str, *, for_rows: bool = False) -> None: ...

    def ticked(self, recipe: str) -> datetime | None:
        """The last tick of its schedule that was looked at."""

    def note_ticked(self, recipe: str, tick: datetime) -> None: ...
