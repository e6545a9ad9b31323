"""A child process that dies with the process that starts it. Linux can do that; elsewhere it is merely not tied."""

import ctypes
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def tied_to_parent() -> Callable[[], None] | None:
    """For `preexec_fn`: the kernel kills the child when the thread that starts it ends, also by `kill -9`.

    Start it from a thread that lives as long as the child should.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
