"""Tenants' files in a folder: `files/<tenant>/<id>` holds the content, `<id>.json` what is known of it.

The second makes it a file: it is written last, and removed first. Several processes may share the folder.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from libs.clock import Clock
from services.gateway.adapters.batch_storage._atomic import storage, sync_file, write_whole
from services.gateway.domain.jobs import FILE_ID, StoredFile

_PIECE = 256 * 1024


class FolderFiles:
    """The folder is made when it is first written to."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root / "files"
        self._uploads = root / "uploads"
        self._clock = clock

    def content(self, tenant: str, file_id: str) -> Path:
        """Where a file's content lies."""
        return self._root / tenant / file_id

    @asynccontextmanager
    async def writing(self) -> AsyncIterator["FolderUpload"]:
        """A new file."""
        with storage():
            file = await asyncio.to_thread(self._open)
        upload = FolderUpload(file, self.content)
        try:
            yield upload
        finally:
            await asyncio.to_thread(upload.close)

    def _open(self) -> BinaryIO:
        self._uploads.mkdir(parents=True, exist_ok=True)
        return tempfile.NamedTemporaryFile(dir=self._uploads, delete=False)  # type: ignore[return-value]

    async def find(self, tenant: str, file_id: str) -> StoredFile | None:
        if not FILE_ID.fullmatch(file_id):
            return None
        found = await asyncio.to_thread(_read, self._root / tenant / f"{file_id}.json")
        return found if found is not None and _alive(found, self._clock()) else None

    async def files_of(self, tenant: str) -> Sequence[StoredFile]:
        found = await asyncio.to_thread(self._list, tenant)
        now = self._clock()
        return [file for file in found if _alive(file, now)]

    def _list(self, tenant: str) -> list[StoredFile]:
        read = (_read(path) for path in sorted((self._root / tenant).glob("file-*.json")))
        return [file for file in read if file is not None]

    async def read(self, file: StoredFile) -> AsyncIterator[bytes]:
        with storage():
            opened = await asyncio.to_thread(self.content(file.tenant, file.id).open, "rb")
        return _pieces(opened)

    async def delete(self, tenant: str, file_id: str) -> bool:
        if await self.find(tenant, file_id) is None:
            return False
        with storage():
            await asyncio.to_thread(self._delete, tenant, file_id)
        return True

    def _delete(self, tenant: str, file_id: str) -> None:
        (self._root / tenant / f"{file_id}.json").unlink(missing_ok=True)
        self.content(tenant, file_id).unlink(missing_ok=True)

    def sweep(self, now: datetime, leftovers_before: float) -> None:
        """Removes expired files, and uploads that began before that time stamp and never ended."""
        for path in self._root.glob("*/file-*.json"):
            file = _read(path)
            if file is not None and not _alive(file, now):
                self._delete(file.tenant, file.id)
        for path in self._uploads.glob("*"):
            if path.stat().st_mtime < leftovers_before:
                path.unlink(missing_ok=True)


class FolderUpload:
    """A file being written."""

    def __init__(self, file: BinaryIO, content: Callable[[str, str], Path]) -> None:
        self._file = file
        self._content = content

    async def write(self, data: bytes) -> None:
        with storage():
            await asyncio.to_thread(self._file.write, data)

    async def keep(self, file: StoredFile) -> None:
        with storage():
            await asyncio.to_thread(self._keep, file)

    def _keep(self, file: StoredFile) -> None:
        self._file.flush()
        keep(Path(self._file.name), self._content(file.tenant, file.id), file)

    def close(self) -> None:
        """Nothing remains of a file that was not kept."""
        Path(self._file.name).unlink(missing_ok=True)
        try:
            self._file.close()
        except OSError:
            # What could not be written is thrown away anyhow.
            return


def keep(written: Path, content: Path, file: StoredFile) -> None:
    """Makes what lies at `written` the file's content, and the file known."""
    sync_file(written)
    content.parent.mkdir(parents=True, exist_ok=True)
    written.replace(content)
    write_whole(content.with_name(f"{file.id}.json"), file.model_dump_json().encode())


async def _pieces(opened: BinaryIO) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.to_thread(opened.read, _PIECE):
            yield piece
    finally:
        opened.close()


def _read(path: Path) -> StoredFile | None:
    try:
        return StoredFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None


def _alive(file: StoredFile, now: datetime) -> bool:
    return file.expires_at is None or file.expires_at > now
