"""One job's folder as its runner sees it, while it holds the lock.

Results are appended where their file will lie; it becomes a file of the tenant's when the job has ended.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from services.gateway.adapters.batch_storage._atomic import append, storage, sync_file, write_whole
from services.gateway.adapters.batch_storage.files import FolderFiles
from services.gateway.domain.batch_lines import RawLine, done_by
from services.gateway.domain.jobs import Job, Kind, StoredFile, result_file_id

_GROUP = 256 * 1024
"""Bytes of lines read at once; a group has one line at least."""


class FolderWorkspace:
    """`lock`: an open file descriptor that holds the lock."""

    def __init__(self, folder: Path, mark: Path, lock: int, files: FolderFiles, longest_line: int) -> None:
        self._folder = folder
        self._mark = mark
        self._lock = lock
        self._files = files
        self._longest_line = longest_line
        self._tenant, self._id = folder.parent.name, folder.name

    async def load(self) -> Job:
        with storage():
            return Job.model_validate_json(await asyncio.to_thread((self._folder / "job.json").read_bytes))

    async def save(self, job: Job) -> None:
        with storage():
            await asyncio.to_thread(self._save, job)

    def _save(self, job: Job) -> None:
        write_whole(self._folder / "job.json", job.model_dump_json().encode())
        if job.ended:
            self._mark.unlink(missing_ok=True)
            (self._folder / "input.jsonl").unlink(missing_ok=True)

    async def cancel_asked(self) -> datetime | None:
        with storage():
            return await asyncio.to_thread(cancel_asked, self._folder)

    async def input(self) -> AsyncIterator[Sequence[RawLine]]:
        with storage():
            file = await asyncio.to_thread((self._folder / "input.jsonl").open, "rb")
        try:
            groups = _groups(_numbered(file, self._longest_line))
            while (group := await asyncio.to_thread(next, groups, None)) is not None:
                yield group
        finally:
            file.close()

    async def results(self, kind: Kind) -> AsyncIterator[Sequence[bytes]]:
        with storage():
            path = self._results(kind)
            await asyncio.to_thread(_cut_torn_end, path)
            if not path.exists():
                return
            file = await asyncio.to_thread(path.open, "rb")
        try:
            while lines := await asyncio.to_thread(file.readlines, _GROUP):
                yield lines
        finally:
            file.close()

    async def append(self, kind: Kind, lines: bytes) -> None:
        with storage():
            await asyncio.to_thread(self._append, kind, lines)

    def _append(self, kind: Kind, lines: bytes) -> None:
        path = self._results(kind)
        path.parent.mkdir(parents=True, exist_ok=True)
        append(path, lines)

    async def publish(self, kind: Kind, file: StoredFile) -> StoredFile | None:
        with storage():
            return await asyncio.to_thread(self._publish, kind, file)

    def _publish(self, kind: Kind, file: StoredFile) -> StoredFile | None:
        path = self._results(kind)
        if not path.exists():
            return None
        sync_file(path)
        whole = file.model_copy(update={"bytes": path.stat().st_size})
        write_whole(path.with_name(f"{file.id}.json"), whole.model_dump_json().encode())
        return whole

    async def release(self) -> None:
        # Closing lets go of the lock.
        os.close(self._lock)

    def _results(self, kind: Kind) -> Path:
        return self._files.content(self._tenant, result_file_id(self._id, kind))


def cancel_asked(folder: Path) -> datetime | None:
    """When cancelling was asked for."""
    with contextlib.suppress(FileNotFoundError):
        return datetime.fromisoformat((folder / "cancel").read_text())
    return None


def _numbered(file: BinaryIO, longest: int) -> Iterator[RawLine]:
    number = 0
    while line := file.readline(longest + 1):
        number += 1
        if len(line) > longest and not line.endswith(b"\n"):
            while not line.endswith(b"\n") and (line := file.readline(longest + 1)):
                pass
            yield RawLine(number, None)
        elif text := line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").strip():
            yield RawLine(number, text)


def _groups(lines: Iterator[RawLine]) -> Iterator[Sequence[RawLine]]:
    group: list[RawLine] = []
    size = 0
    for line in lines:
        group.append(line)
        size += len(line.data or b"") + 64
        if size > _GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group


def _cut_torn_end(path: Path) -> None:
    """After a crash the last line may be half, and after a power failure the last ones may be anything."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        whole = 0
        for line in file:
            if not line.endswith(b"\n") or done_by(line) is None:
                break
            whole += len(line)
        file.truncate(whole)
