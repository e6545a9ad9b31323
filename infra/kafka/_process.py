"""Child processes in a session of their own, which can be tied to the life of the process that starts them.

Linux has the tie (`PR_SET_PDEATHSIG`); elsewhere the child is merely not tied. Knows nothing of Kafka.
"""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1


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
            preexec_fn=_death_signal() if die_with_parent else None,  # noqa: PLW1509 -- one system call, no locks
        )


def _death_signal() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
