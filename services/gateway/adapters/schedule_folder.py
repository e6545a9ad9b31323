"""Where schedules find their input, put their results, and keep what they know between two looks."""

import asyncio
import glob
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from services.gateway.adapters.batch_storage._atomic import storage, write_whole
from services.gateway.domain.schedules import Schedule, Standing
from services.gateway.ports import NoInput

_PIECE = 256 * 1024


class ScheduleFolder:
    """`root`: for what is known; `base`: what paths in schedules are relative to."""

    def __init__(self, root: Path, base: Path) -> None:
        self._root = root / "schedules"
        self._base = base

    async def load(self, schedule: Schedule) -> Standing | None:
        with storage():
            return await asyncio.to_thread(self._load, schedule)

    def _load(self, schedule: Schedule) -> Standing | None:
        try:
            return Standing.model_validate_json(self._path(schedule).read_bytes())
        except FileNotFoundError:
            return None

    async def save(self, schedule: Schedule, standing: Standing) -> None:
        with storage():
            await asyncio.to_thread(self._save, schedule, standing)

    def _save(self, schedule: Schedule, standing: Standing) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        write_whole(self._path(schedule), standing.model_dump_json().encode())

    def _path(self, schedule: Schedule) -> Path:
        return self._root / f"{schedule.tenant}~{schedule.name}.json"

    async def read_input(self, schedule: Schedule) -> AsyncIterator[bytes]:
        with storage():
            paths = await asyncio.to_thread(self._inputs, schedule)
            for path in paths:
                file = await asyncio.to_thread(path.open, "rb")
                try:
                    last = b"\n"
                    while piece := await asyncio.to_thread(file.read, _PIECE):
                        yield piece
                        last = piece[-1:]
                    if last != b"\n":
                        yield b"\n"
                finally:
                    file.close()

    def _inputs(self, schedule: Schedule) -> list[Path]:
        found = sorted(glob.glob(str(self._base / schedule.input), recursive=True))  # noqa: PTH207 - absolute ones, too
        files = [path for path in map(Path, found) if path.is_file()]
        if not files:
            raise NoInput(f'no file matches "{schedule.input}"')
        return files

    async def deliver(self, schedule: Schedule, name: str, content: AsyncIterator[bytes]) -> None:
        with storage():
            folder = self._base / schedule.results
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            handle, made = await asyncio.to_thread(tempfile.mkstemp, dir=folder, prefix=".", suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    async for piece in content:
                        await asyncio.to_thread(file.write, piece)
                    file.flush()
                    await asyncio.to_thread(os.fsync, file.fileno())
                await asyncio.to_thread(os.replace, made, folder / name)
            except BaseException:
                await asyncio.to_thread(os.unlink, made)
                raise
