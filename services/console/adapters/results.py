"""The result file of a batch: one JSON line per input line, each on disk before the next; can be taken up again."""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from services.console.domain.errors import ConsoleError


class ResultFile:
    """Appends results and knows which input lines have theirs."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        """Raises ConsoleError when the file exists and is not to be taken up, or holds no results."""
        if path.exists() and path.stat().st_size and not resume:
            raise ConsoleError(f"{path} exists; take it up with --resume or name another --output", exit_code=2)
        self._path = path
        self._ids: dict[int, str] = {}
        self.counts: dict[str, int] = {}
        end = self._read() if path.exists() else 0
        try:
            self._file = path.open("ab")
        except OSError as error:
            raise ConsoleError(f"{path} cannot be written: {error.strerror}", exit_code=2) from error
        # A line that was cut off by a crash is written again.
        self._file.truncate(end)

    def _read(self) -> int:
        end = 0
        with self._path.open("rb") as file:
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                self._take(raw)
                end += len(raw)
        return end

    def _take(self, raw: bytes) -> None:
        try:
            body = json.loads(raw)
            number, prompt_id, status = int(body["line"]), str(body["prompt_id"]), str(body["status"])
        except (ValueError, KeyError, TypeError):
            raise ConsoleError(f"{self._path} holds something else than results of a batch", exit_code=2) from None
        self._note(number, prompt_id, status)

    def _note(self, number: int, prompt_id: str, status: str) -> None:
        self._ids[number] = prompt_id
        self.counts[status] = self.counts.get(status, 0) + 1

    def check(self, number: int, prompt_id: str) -> None:
        """Raises ConsoleError when the file's result for this line is of another prompt."""
        if self._ids.get(number, prompt_id) != prompt_id:
            raise ConsoleError(
                f"{self._path} holds results of another input: line {number} has prompt_id {self._ids[number]!r} "
                f"there and {prompt_id!r} here; name another --output",
                exit_code=2,
            )

    def has(self, number: int) -> bool:
        return number in self._ids

    def write(self, number: int, body: dict[str, Any]) -> None:
        self._file.write(json.dumps(body, ensure_ascii=False).encode(errors="replace") + b"\n")
        self._file.flush()
        self._note(number, str(body["prompt_id"]), str(body["status"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.fsync(self._file.fileno())
        self._file.close()
