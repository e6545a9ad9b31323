"""Files and batch jobs that live as long as this object, for tests of plain logic. Passes the folder's suite."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from libs.clock import Clock
from services.gateway.domain.batch_lines import RawLine
from services.gateway.domain.jobs import Job, Kind, StoredFile, result_file_id
from services.gateway.ports import Workspace


class MemoryStorage:
    """Both ports, `Files` and `Jobs`, as `files` and `jobs`."""

    def __init__(self, clock: Clock, *, longest_line: int = 1_000_000) -> None:
        self.files = MemoryFiles(clock)
        self.jobs = MemoryJobs(self.files, longest_line)


class MemoryFiles:
    """The port `Files`."""

    def __init__(self, clock: Clock) -> None:
        self.contents: dict[str, bytes] = {}
        self.known: dict[tuple[str, str], StoredFile] = {}
        self._clock = clock

    @asynccontextmanager
    async def writing(self) -> AsyncIterator["_MemoryUpload"]:
        """A new file."""
        yield _MemoryUpload(self)

    async def find(self, tenant: str, file_id: str) -> StoredFile | None:
        found = self.known.get((tenant, file_id))
        return found if found and (found.expires_at is None or found.expires_at > self._clock()) else None

    async def files_of(self, tenant: str) -> Sequence[StoredFile]:
        found = [await self.find(*key) for key in sorted(self.known) if key[0] == tenant]
        return [file for file in found if file is not None]

    async def read(self, file: StoredFile) -> AsyncIterator[bytes]:
        return _once(self.contents[file.id])

    async def delete(self, tenant: str, file_id: str) -> bool:
        if await self.find(tenant, file_id) is None:
            return False
        del self.known[tenant, file_id], self.contents[file_id]
        return True


class _MemoryUpload:
    def __init__(self, files: MemoryFiles) -> None:
        self._files = files
        self._content = bytearray()

    async def write(self, data: bytes) -> None:
        self._content += data

    async def keep(self, file: StoredFile) -> None:
        self._files.contents[file.id] = bytes(self._content)
        self._files.known[file.tenant, file.id] = file


class MemoryJobs:
    """The port `Jobs`."""

    def __init__(self, files: MemoryFiles, longest_line: int) -> None:
        self.files = files
        self.longest_line = longest_line
        self.jobs: dict[tuple[str, str], Job] = {}
        self.inputs: dict[str, bytes] = {}
        self.cancelled: dict[str, datetime] = {}
        self.claimed: set[str] = set()

    async def create(self, job: Job) -> bool:
        if (job.tenant, job.id) in self.jobs:
            return False
        self.inputs[job.id] = self.files.contents[job.input_file_id]
        self.jobs[job.tenant, job.id] = job
        return True

    async def find(self, tenant: str, job_id: str) -> Job | None:
        job = self.jobs.get((tenant, job_id))
        return None if job is None else job.cancelled_by(self.cancelled.get(job_id))

    async def jobs_of(self, tenant: str, *, after: str | None, limit: int) -> Sequence[Job]:
        ids = sorted((key[1] for key in self.jobs if key[0] == tenant), reverse=True)
        found = [await self.find(tenant, job_id) for job_id in ids if after is None or job_id < after]
        return [job for job in found if job is not None][:limit]

    async def ask_cancel(self, tenant: str, job_id: str, at: datetime) -> None:
        if (tenant, job_id) in self.jobs:
            self.cancelled.setdefault(job_id, at)

    async def unfinished(self) -> Sequence[tuple[str, str]]:
        return sorted((key for key, job in self.jobs.items() if not job.ended), key=lambda key: key[1])

    async def claim(self, tenant: str, job_id: str) -> Workspace | None:
        job = self.jobs.get((tenant, job_id))
        if job is None or job.ended or job_id in self.claimed:
            return None
        self.claimed.add(job_id)
        return MemoryWorkspace(self, tenant, job_id)

    async def sweep(self, now: datetime) -> None:
        for file in [f for f in self.files.known.values() if f.expires_at is not None and f.expires_at <= now]:
            del self.files.known[file.tenant, file.id], self.files.contents[file.id]


class MemoryWorkspace:
    """The port `Workspace`."""

    def __init__(self, jobs: MemoryJobs, tenant: str, job_id: str) -> None:
        self._jobs = jobs
        self._key = (tenant, job_id)
        self._id = job_id

    async def load(self) -> Job:
        return self._jobs.jobs[self._key]

    async def save(self, job: Job) -> None:
        self._jobs.jobs[self._key] = job

    async def cancel_asked(self) -> datetime | None:
        return self._jobs.cancelled.get(self._id)

    async def input(self) -> AsyncIterator[Sequence[RawLine]]:
        longest = self._jobs.longest_line
        for number, line in enumerate(self._jobs.inputs[self._id].removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
            if text := line.strip():
                yield [RawLine(number, text if len(line) <= longest else None)]

    async def results(self, kind: Kind) -> AsyncIterator[Sequence[bytes]]:
        if lines := self._jobs.files.contents.get(result_file_id(self._id, kind), b"").splitlines(keepends=True):
            yield lines

    async def append(self, kind: Kind, lines: bytes) -> None:
        contents, file_id = self._jobs.files.contents, result_file_id(self._id, kind)
        contents[file_id] = contents.get(file_id, b"") + lines

    async def publish(self, kind: Kind, file: StoredFile) -> StoredFile | None:
        content = self._jobs.files.contents.get(result_file_id(self._id, kind))
        if content is None:
            return None
        whole = file.model_copy(update={"bytes": len(content)})
        self._jobs.files.known[file.tenant, file.id] = whole
        return whole

    async def release(self) -> None:
        self._jobs.claimed.discard(self._id)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
