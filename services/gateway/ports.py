"""What the gateway needs from outside: the log, who the callers are, and a place for files and batch jobs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from libs.bus import Envelope
from schemas.base import Event, Lane
from schemas.prompts import PromptSubmitted
from schemas.responses import ResponseReady
from services.gateway.domain import Caller
from services.gateway.domain.batch_lines import RawLine, Request, Result
from services.gateway.domain.jobs import Job, Kind, StoredFile
from services.gateway.domain.schedules import Schedule, Standing


class LogUnavailable(Exception):  # noqa: N818
    """The log did not acknowledge the record in time."""


class Log(Protocol):
    """The public input topics, and this instance's partition of `reply` behind them."""

    @property
    def ready(self) -> bool:
        """Whether replies are being read, so that no outcome can be missed."""

    async def publish(self, event: Event, envelope: Envelope, lane: Lane = Lane.REAL_TIME) -> None:
        """Returns once the log has the record. Raises LogUnavailable."""

    def publish_soon(self, event: Event, envelope: Envelope) -> None:
        """Hands a record over without waiting; what cannot be written is logged."""


class Keys(Protocol):
    """The API keys."""

    def find(self, token: str) -> Caller | None:
        """Whose key this is."""


class StorageFailed(Exception):  # noqa: N818
    """Files cannot be kept now: the disk is full, or away. Nothing half-written is taken for whole."""


class Upload(Protocol):
    """A file being written; nobody sees it before it is kept, and nothing remains of one that is not."""

    async def write(self, data: bytes) -> None:
        """More of it. Raises StorageFailed."""

    async def keep(self, file: StoredFile) -> None:
        """Makes it a file, durably. Raises StorageFailed."""


class Files(Protocol):
    """Tenants' files. Others' files, and expired ones, are not there."""

    def writing(self) -> AbstractAsyncContextManager[Upload]:
        """A new file."""

    async def find(self, tenant: str, file_id: str) -> StoredFile | None: ...

    async def files_of(self, tenant: str) -> Sequence[StoredFile]:
        """Oldest first."""

    async def read(self, file: StoredFile) -> AsyncIterator[bytes]:
        """Its content, in pieces; what was opened can be read to its end, though it be deleted meanwhile."""

    async def delete(self, tenant: str, file_id: str) -> bool:
        """False: it was not there."""


class Workspace(Protocol):
    """Everything of one job, held by one runner alone until it is released. All raise StorageFailed."""

    async def load(self) -> Job: ...

    async def save(self, job: Job) -> None:
        """Durably, whole or not at all."""

    async def cancel_asked(self) -> datetime | None:
        """When someone asked to cancel it."""

    def input(self) -> AsyncIterator[Sequence[RawLine]]:
        """The input's lines with their numbers, blank ones left out, a bounded number of bytes at a time."""

    def results(self, kind: Kind) -> AsyncIterator[Sequence[bytes]]:
        """Result lines written so far. What a crash cut off is removed."""

    async def append(self, kind: Kind, lines: bytes) -> None: ...

    async def publish(self, kind: Kind, file: StoredFile) -> StoredFile | None:
        """Makes the results a file of the tenant's; None: there are none."""

    async def release(self) -> None: ...


class Jobs(Protocol):
    """All jobs."""

    async def create(self, job: Job) -> bool:
        """Of an input file that is there. False: a job of that id exists already. Raises StorageFailed."""

    async def find(self, tenant: str, job_id: str) -> Job | None: ...

    async def jobs_of(self, tenant: str, *, after: str | None, limit: int) -> Sequence[Job]:
        """Newest first, those older than the id `after`."""

    async def ask_cancel(self, tenant: str, job_id: str, at: datetime) -> None:
        """Whoever runs it will see. Raises StorageFailed."""

    async def unfinished(self) -> Sequence[tuple[str, str]]:
        """Tenant and id of jobs that have not ended, oldest first."""

    async def claim(self, tenant: str, job_id: str) -> Workspace | None:
        """None: someone else has it, and will have it until his process ends."""

    async def sweep(self, now: datetime) -> None:
        """Removes what has expired and what a crash has left behind."""


class Translation(Protocol):
    """Between OpenAI's requests and the bus."""

    def prompt(self, request: Request, job: Job) -> PromptSubmitted | Result:
        """What to ask, or the error the same request over HTTP would have got."""

    def answer(self, outcome: ResponseReady, request: Request) -> Result:
        """The response."""


class NoInput(Exception):  # noqa: N818
    """A schedule's input is not there."""


class Schedules(Protocol):
    """What an operator has scheduled."""

    async def reload(self) -> Sequence[Schedule]:
        """The schedules in force."""


class ScheduleStore(Protocol):
    """What schedules read and write. All raise StorageFailed."""

    async def load(self, schedule: Schedule) -> Standing | None: ...

    async def save(self, schedule: Schedule, standing: Standing) -> None: ...

    def read_input(self, schedule: Schedule) -> AsyncIterator[bytes]:
        """All files that match, in the order of their names. Raises NoInput."""

    async def deliver(self, schedule: Schedule, name: str, content: AsyncIterator[bytes]) -> None:
        """Puts a file where results go, whole or not at all."""
