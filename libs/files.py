"""Files that are there whole, durably, or not at all."""

import os
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Readers see the old file or the new one, also after a crash."""
    scratch = file.with_name(f".{file.name}")
    with scratch.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(file)
