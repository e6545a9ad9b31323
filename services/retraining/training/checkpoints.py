"""Checkpoints that are known to be whole: each with the hashes of its files, written last."""

import hashlib
import json
import os
import shutil
from pathlib import Path

SEAL = "whole.json"
_PREFIX = "checkpoint-"


def seal(checkpoint: Path) -> None:
    """Notes that all of the checkpoint is on disk."""
    hashes = {path.name: _hash(path) for path in sorted(checkpoint.iterdir()) if path.is_file() and path.name != SEAL}
    written = checkpoint / f".{SEAL}"
    with written.open("w") as file:
        json.dump(hashes, file)
        file.flush()
        os.fsync(file.fileno())
    written.rename(checkpoint / SEAL)


def last_whole(folder: Path) -> Path | None:
    """The newest whole checkpoint; what is newer and damaged is removed."""
    for checkpoint in sorted(folder.glob(f"{_PREFIX}*"), key=_step, reverse=True):
        if _is_whole(checkpoint):
            return checkpoint
        shutil.rmtree(checkpoint)
    return None


def _step(checkpoint: Path) -> int:
    digits = checkpoint.name.removeprefix(_PREFIX)
    return int(digits) if digits.isdecimal() else -1


def _is_whole(checkpoint: Path) -> bool:
    try:
        hashes: dict[str, str] = json.loads((checkpoint / SEAL).read_bytes())
        return all(_hash(checkpoint / name) == digest for name, digest in hashes.items())
    except (OSError, ValueError):
        return False


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
