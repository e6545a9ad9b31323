"""Files that are there whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_whole(file: Path, text: str, *, durable: bool = False) -> None:
    """Readers see the old file or the new one, never half of it. Only the owner can read it.

    `durable`: also after the machine has lost its power.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        if durable:
            stream.flush()
            os.fsync(stream.fileno())
    Path(name).replace(file)
