"""Opens sealed mappings with the keys of a file, which is read again when a box names a key that is not held.

So keys are rotated without a restart: put the new one into the file, then have safety seal with it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from libs.sealing import Opener, UnopenableBoxError, UnusableKeyError


class KeyRing:
    """`Seals` over a key file (`libs.sealing.write_key_file`). `report` hears of boxes that stay shut."""

    def __init__(self, path: Path, *, report: Callable[[str], None]) -> None:
        self._path, self._report = path, report
        self._opener = Opener.from_key_file(path)
        self._version = self._mtime()

    def values(self, box: str | None, key_id: str | None) -> Mapping[str, str]:
        """The mapping in a box; empty where there is none or it cannot be opened."""
        if box is None:
            return {}
        if key_id is not None and key_id not in self._opener.key_ids:
            self._read_again()
        try:
            return self._opener.open(box, key_id)
        except UnopenableBoxError as error:
            self._report(str(error))
            return {}

    def _read_again(self) -> None:
        version = self._mtime()
        if version == self._version:
            return
        self._version = version
        try:
            self._opener = Opener.from_key_file(self._path)
        except UnusableKeyError as error:
            self._report(str(error))

    def _mtime(self) -> int | None:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return None
