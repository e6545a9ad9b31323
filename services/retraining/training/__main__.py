"""`python -m services.retraining.training FOLDER [PIPE]`: does the job in the folder; reports go to the pipe as well.

Exit code 0: it is over, and `ended.json` says how. 75: told to stop, its state is saved. 69: the registry is away.
Anything else: it broke; run again, it goes on from its last whole checkpoint.
"""

import fcntl
import os
import signal
import sys
from pathlib import Path

from libs.files import write_whole
from services.retraining.domain.job import Ended, Job
from services.retraining.training.choosing import RefusedError, chosen_rows

TOLD_TO_STOP, REGISTRY_AWAY = 75, 69
REGISTRY = "TAILRACE_TRAINING_REGISTRY"
"""MLflow's address; not in the job's file, since it may hold a password."""


def main(folder: Path, pipe: int | None = None) -> int:
    """Does the job, unless it is done."""
    with (folder / ".lock").open("w") as lock:
        # Another instance's process, or one that is about to die with its parent.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "ended.json").exists():
            return 0
        return _do(folder, pipe)


def _do(folder: Path, pipe: int | None) -> int:
    job = Job.model_validate_json((folder / "job.json").read_bytes())
    stopped = Stopped()
    signal.signal(signal.SIGTERM, stopped)
    try:
        if job.recipe.start == "base":
            # Before the libraries are loaded, which takes seconds.
            chosen_rows(job, None)
        return _train(job, folder, pipe, stopped)
    except RefusedError as error:
        _end(folder, Ended(refused=str(error)))
        return 0


def _train(job: Job, folder: Path, pipe: int | None, stopped: "Stopped") -> int:
    from libs.model_registry.registry import RegistryError  # noqa: PLC0415
    from services.retraining.training.run import StoppedError, train_and_register  # noqa: PLC0415

    try:
        _end(folder, train_and_register(job, os.environ[REGISTRY], folder, pipe, stopped.told))
    except StoppedError:
        return TOLD_TO_STOP
    except RegistryError as error:
        sys.stderr.write(f"{error}\n")
        return REGISTRY_AWAY
    return 0


def _end(folder: Path, ended: Ended) -> None:
    write_whole(folder / "ended.json", ended.model_dump_json(), durable=True)


class Stopped:
    """Whether SIGTERM has come."""

    def __init__(self) -> None:
        self._told = False

    def __call__(self, *_: object) -> None:
        self._told = True

    def told(self) -> bool:
        """Whether it has."""
        return self._told


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
