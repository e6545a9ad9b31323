"""A batch job and the files it reads and writes: what is known of them, and how a job moves from state to state.

States, names and time stamps are OpenAI's. Ids begin with their time, so that sorting them is sorting by age, and are
made of characters that are safe in a path.
"""

import hashlib
import re
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
Ending = Literal["completed", "expired", "cancelled"]
Kind = Literal["output", "errors"]
"""The two files a job writes; each line of its input has one line in one of them."""
ENDED: frozenset[Status] = frozenset({"failed", "completed", "expired", "cancelled"})
CANCELLABLE: frozenset[Status] = frozenset({"validating", "in_progress"})
JOB_ID = re.compile(r"batch_[0-9a-f]{28}")
FILE_ID = re.compile(r"file-[0-9a-f]{28}[01]?")


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class StoredFile(_Kept):
    """A file of a tenant's."""

    id: str
    tenant: str
    bytes: int
    created_at: datetime
    filename: str
    purpose: Literal["batch", "batch_output"]
    expires_at: datetime | None = None


class Problem(_Kept):
    """Why a file as a whole cannot be run. Lines are counted from 1."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Job(_Kept):
    """One batch job."""

    id: str
    tenant: str
    endpoint: str
    input_file_id: str
    completion_window: str
    created_at: datetime
    expires_at: datetime
    status: Status = "validating"
    ending: Ending | None = None
    """Decided once no further line will be asked; `status` follows when the files are complete."""
    metadata: dict[str, str] | None = None
    schedule: str | None = None
    """The schedule that started it."""
    files_last: int | None = None
    """Seconds after which its files expire; None: the installation's own time."""
    problems: tuple[Problem, ...] = ()
    total: int = 0
    completed: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: datetime | None = None
    finalizing_at: datetime | None = None
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    expired_at: datetime | None = None
    cancelling_at: datetime | None = None
    cancelled_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Nothing of it changes any more."""
        return self.status in ENDED

    def moved(self, status: Status, at: datetime, **changes: object) -> Self:
        """The job in its next state, with that state's time stamp."""
        return self.model_copy(update={"status": status, f"{status}_at": at, **changes})

    def changed(self, **changes: object) -> Self:
        """The job with other values."""
        return self.model_copy(update=changes)

    def cancelled_by(self, asked_at: datetime | None) -> Self:
        """How it looks to callers when cancelling was asked for then."""
        if asked_at is None or self.cancelling_at is not None or self.status not in CANCELLABLE:
            return self
        return self.moved("cancelling", asked_at)


def new_job_id(at: datetime, random: str) -> str:
    """`random`: 16 or more lower-case hex digits."""
    return f"batch_{_time(at)}{random[:16]}"


def new_file_id(at: datetime, random: str) -> str:
    """`random`: 16 or more lower-case hex digits."""
    return f"file-{_time(at)}{random[:16]}"


def result_file_id(job_id: str, kind: Kind) -> str:
    """Where a job's results are: known before there is one, so that a job that is taken up finds what it wrote."""
    return f"file-{job_id.removeprefix('batch_')}{0 if kind == 'output' else 1}"


def prompt_id(job_id: str, custom_id: str) -> str:
    """The prompt's id follows from the job and the line, so that asking again is asking the same prompt."""
    return f"{job_id}-{hashlib.sha256(custom_id.encode()).hexdigest()[:32]}"


def _time(at: datetime) -> str:
    return f"{int(at.timestamp() * 1000):012x}"
