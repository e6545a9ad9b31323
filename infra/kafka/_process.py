"""Child processes in a session of their own, which can be tied to the life of the process that starts them.

Knows nothing of Kafka.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from libs.processes import tied_to_parent


def spawn(
    command: Sequence[str | Path],
    *,
    output: Path,
    environ: Mapping[str, str] | None = None,
    die_with_parent: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `command`, its output appended to the file `output`.

    With `die_with_parent` the kernel kills it when the thread that called this ends, also by `kill -9`: call it from
    a thread that lives as long as the child should.
    """
    with output.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environ,
            start_new_session=True,
            preexec_fn=tied_to_parent() if die_with_parent else None,  # noqa: PLW1509 -- one system call, no locks
        )
