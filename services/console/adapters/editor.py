"""The operator's own editor, on a private temporary file."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from services.console.domain.errors import ConsoleError


def edit(body: bytes, name: str) -> bytes:
    """The body as the operator left it. Raises ConsoleError when there is no editor or it failed."""
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not command:
        raise ConsoleError("--edit needs an editor; set EDITOR", exit_code=2)
    with tempfile.TemporaryDirectory(prefix="tailrace-") as folder:
        file = Path(folder, f"{name.replace('/', '-')}.json")
        file.touch(mode=0o600)
        file.write_bytes(body)
        try:
            subprocess.run([*shlex.split(command), str(file)], check=True)  # noqa: S603 - the operator's own command
        except (OSError, subprocess.CalledProcessError) as error:
            raise ConsoleError(f"the editor {command!r} failed: {error}; nothing was replayed") from error
        edited = file.read_bytes()
    # Editors end files with a line feed that the body did not have.
    return edited.rstrip(b"\n") if not body.endswith(b"\n") else edited
