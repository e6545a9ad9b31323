"""The file of API key hashes: read at the start, read again when it changes, never half believed.

A file that cannot be used stops the start with what is wrong; at a reload the last good keys stay in force.
"""

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter, ValidationError

from libs.telemetry import get_logger
from services.gateway.domain import ApiKey, Caller, Keyring

_LIST = TypeAdapter(list[ApiKey])
_OBJECT = TypeAdapter(dict[str, list[ApiKey]])
_SHAPE = '[{"sha256": "<64 hex digits>", "tenant": "default", "name": "..."}]'


class UnusableKeyFile(ValueError):  # noqa: N818
    """The file of keys is missing or not what it should be. The message says where and how to mend it."""


class KeyFile:
    """The keys of one file, watched while the block runs."""

    def __init__(self, path: Path, *, every: timedelta) -> None:
        self._path = path
        self._every = every.total_seconds()
        self._keyring = Keyring(())
        self._stamp: tuple[int, int, int] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._log = get_logger("keys")

    def find(self, token: str) -> Caller | None:
        """Whose key this is, by the last good reading."""
        return self._keyring.find(token)

    async def __aenter__(self) -> Self:
        self._stamp = await asyncio.to_thread(_stamp, self._path)
        self._keyring = await asyncio.to_thread(read_keys, self._path)
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self.reload()

    async def reload(self) -> None:
        """Reads the file again if it has changed."""
        stamp = await asyncio.to_thread(_stamp, self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keyring = await asyncio.to_thread(read_keys, self._path)
        except UnusableKeyFile as error:
            self._log.error("the last good keys stay in force", reason=str(error))
        else:
            self._log.info("keys reloaded", keys=len(self._keyring))


def read_keys(path: Path) -> Keyring:
    """The keys in a file. Raises UnusableKeyFile."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UnusableKeyFile(
            f"API key file {path}: {error.strerror}; write {_SHAPE} there, "
            "or name another file in TAILRACE_GATEWAY_API_KEYS_FILE"
        ) from error
    try:
        keys = _LIST.validate_json(text) if text.lstrip().startswith(b"[") else _under_keys(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole file"
        raise UnusableKeyFile(f"API key file {path}: {where}: {first['msg']}; it must hold {_SHAPE}") from None
    if len({key.sha256 for key in keys}) < len(keys):
        raise UnusableKeyFile(f"API key file {path}: the same sha256 stands there twice; remove one of the two")
    return Keyring(keys)


def _under_keys(text: bytes) -> list[ApiKey]:
    found = _OBJECT.validate_json(text)
    if set(found) != {"keys"}:
        raise ValidationError.from_exception_data("keys", [{"type": "missing", "loc": ("keys",), "input": None}])
    return found["keys"]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
