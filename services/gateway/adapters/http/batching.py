"""What the operations on files and batches work with, and how a store that fails is told."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from libs.clock import Clock
from services.gateway.adapters.http.body import BodyLimits
from services.gateway.adapters.http.errors import ApiError
from services.gateway.domain import Caller
from services.gateway.domain.jobs import Job, StoredFile
from services.gateway.ports import Files, Jobs, StorageFailed


@dataclass(frozen=True, slots=True)
class Batching:
    """`created` is called when there is a new job."""

    files: Files
    jobs: Jobs
    clock: Clock
    new_id: Callable[[], str]
    created: Callable[[], None]
    file_bytes: int
    files_last: timedelta
    window: timedelta
    """How long a batch with the window `24h` may take."""
    patience: timedelta
    limits: BodyLimits

    async def file(self, caller: Caller, file_id: str) -> StoredFile:
        """Raises ApiError."""
        found = await self.files.find(caller.tenant, file_id)
        if found is None:
            raise self.no_file(file_id)
        return found

    async def job(self, caller: Caller, job_id: str) -> Job:
        """Raises ApiError."""
        found = await self.jobs.find(caller.tenant, job_id)
        if found is None:
            raise ApiError(404, "batch_not_found", f'there is no batch "{job_id[:64]}"', "batch_id")
        return found

    @staticmethod
    def no_file(file_id: str, param: str = "file_id") -> ApiError:
        """404."""
        return ApiError(404, "file_not_found", f'there is no file "{file_id[:64]}"', param)


@contextlib.contextmanager
def stored() -> Iterator[None]:
    """507 where the store fails: nothing of what was sent is kept."""
    try:
        yield
    except StorageFailed as error:
        message = f"nothing was kept: the gateway's storage says: {error}; try again when there is room"
        raise ApiError(507, "storage_unavailable", message) from None
