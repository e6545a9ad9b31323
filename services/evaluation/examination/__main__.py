"""`python -m services.evaluation.examination FOLDER [PIPE]`: does the exam in the folder; reports go to the pipe.

Exit code 0: it is over, and `measured.json` says what was found. 69: the registry is away. Anything else: it broke,
and the last line says on what; run again, it goes on after the last exam that is done.
"""

import fcntl
import os
import sys
from pathlib import Path

from libs.files import write_whole
from services.evaluation.domain.exam import Exam, Measured
from services.evaluation.examination.errors import BrokenError, RefusedError, RegistryAwayError, UnknownError
from services.evaluation.examination.opening import opened

BROKEN, REGISTRY_AWAY = 1, 69
REGISTRY = "TAILRACE_EXAMINATION_REGISTRY"
"""MLflow's address; not in the exam's file, since it may hold a password."""
JUDGE_KEY = "TAILRACE_EVALUATION_JUDGE_API_KEY"
MEASURED = "measured.json"


def main(folder: Path, pipe: int | None = None) -> int:
    """Does the examination, unless it is done."""
    with (folder / ".lock").open("w") as lock:
        # Another instance's process, or one that is about to die with its parent.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / MEASURED).exists():
            return 0
        try:
            measured = _measured(folder, pipe)
        except (BrokenError, RegistryAwayError) as error:
            sys.stderr.write(f"{error}\n")
            return REGISTRY_AWAY if isinstance(error, RegistryAwayError) else BROKEN
        write_whole(folder / MEASURED, measured.model_dump_json(), durable=True)
        return 0


def _measured(folder: Path, pipe: int | None) -> Measured:
    exam = Exam.model_validate_json((folder / "exam.json").read_bytes())
    try:
        # Before the libraries are loaded, which takes seconds.
        case = opened(exam, os.environ.get(REGISTRY))
        from services.evaluation.examination.run import examine  # noqa: PLC0415

        return examine(case, folder, pipe, os.environ.get(JUDGE_KEY))
    except RefusedError as error:
        return Measured(refused=str(error))
    except UnknownError as error:
        return Measured(unknown=str(error))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
