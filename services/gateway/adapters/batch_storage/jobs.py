"""Batch jobs in a folder that several gateways may share: `batches/<tenant>/<id>/` holds all of a job but its results.

A job belongs to whoever holds the lock on its file `lock`. The operating system lets go of it when a process ends,
however it ends; then another gateway, or the same one started again, takes the job up.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from services.gateway.adapters.batch_storage._atomic import linked, storage, sync_folder, write_whole
from services.gateway.adapters.batch_storage.files import FolderFiles
from services.gateway.adapters.batch_storage.workspace import FolderWorkspace, cancel_asked
from services.gateway.domain.jobs import JOB_ID, Job
from services.gateway.ports import Workspace

_LEFTOVER = timedelta(days=1)


class FolderJobs:
    """`retention`: how long an ended job is known. `longest_line` in bytes."""

    def __init__(self, root: Path, files: FolderFiles, *, retention: timedelta, longest_line: int) -> None:
        self._root = root / "batches"
        self._unfinished = root / "unfinished"
        self._files = files
        self._retention = retention
        self._longest_line = longest_line

    async def create(self, job: Job) -> bool:
        with storage():
            return await asyncio.to_thread(self._create, job)

    def _create(self, job: Job) -> bool:
        folder = self._folder(job.tenant, job.id)
        if folder.exists():
            return False
        made = folder.with_name(f".{job.id}.{os.getpid()}")
        made.mkdir(parents=True, exist_ok=True)
        self._unfinished.mkdir(parents=True, exist_ok=True)
        linked(self._files.content(job.tenant, job.input_file_id), made / "input.jsonl")
        write_whole(made / "job.json", job.model_dump_json().encode())
        # The mark first: a mark without a job is ignored, a job without one would never be run.
        (self._unfinished / f"{job.tenant}~{job.id}").touch()
        sync_folder(self._unfinished)
        try:
            made.rename(folder)
        except OSError:
            # Another gateway was faster.
            shutil.rmtree(made)
            return False
        sync_folder(folder.parent)
        return True

    async def find(self, tenant: str, job_id: str) -> Job | None:
        if not JOB_ID.fullmatch(job_id):
            return None
        return await asyncio.to_thread(_seen, self._folder(tenant, job_id))

    async def jobs_of(self, tenant: str, *, after: str | None, limit: int) -> Sequence[Job]:
        return await asyncio.to_thread(self._list, tenant, after, limit)

    def _list(self, tenant: str, after: str | None, limit: int) -> list[Job]:
        names = sorted((path.name for path in (self._root / tenant).glob("batch_*")), reverse=True)
        older = [name for name in names if after is None or name < after][:limit]
        return [job for name in older if (job := _seen(self._folder(tenant, name))) is not None]

    async def ask_cancel(self, tenant: str, job_id: str, at: datetime) -> None:
        with storage():
            await asyncio.to_thread(_ask_cancel, self._folder(tenant, job_id), at)

    async def unfinished(self) -> Sequence[tuple[str, str]]:
        return await asyncio.to_thread(self._list_unfinished)

    def _list_unfinished(self) -> list[tuple[str, str]]:
        marks = [path.name.partition("~") for path in self._unfinished.glob("*~batch_*")]
        return sorted(((tenant, job_id) for tenant, _, job_id in marks), key=lambda mark: mark[1])

    async def claim(self, tenant: str, job_id: str) -> Workspace | None:
        with storage():
            return await asyncio.to_thread(self._claim, tenant, job_id)

    def _claim(self, tenant: str, job_id: str) -> Workspace | None:
        folder = self._folder(tenant, job_id)
        if not folder.exists():
            return None
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        mark = self._unfinished / f"{tenant}~{job_id}"
        if not mark.exists():
            # It ended between the look and the lock.
            os.close(lock)
            return None
        return FolderWorkspace(folder, mark, lock, self._files, self._longest_line)

    async def sweep(self, now: datetime) -> None:
        with storage():
            await asyncio.to_thread(self._sweep, now)

    def _sweep(self, now: datetime) -> None:
        self._files.sweep(now, (now - _LEFTOVER).timestamp())
        for path in self._root.glob("*/batch_*"):
            job = _seen(path)
            if job is not None and job.ended and job.created_at < now - self._retention:
                shutil.rmtree(path)

    def _folder(self, tenant: str, job_id: str) -> Path:
        return self._root / tenant / job_id


def _ask_cancel(folder: Path, at: datetime) -> None:
    if not (folder / "cancel").exists():
        write_whole(folder / "cancel", at.isoformat().encode())


def _seen(folder: Path) -> Job | None:
    """The job as callers see it."""
    try:
        job = Job.model_validate_json((folder / "job.json").read_bytes())
    except FileNotFoundError:
        return None
    return job.cancelled_by(cancel_asked(folder))
