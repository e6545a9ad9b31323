"""`up` and `down`: start the supervisor behind the scenes and wait for its stack; stop it, and whatever else is left.

Both may be called at any time, in any state: a second `up` changes nothing, a `down` of nothing stops nothing.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from infra.local._files import open_log
from infra.local._processes import describe, end, marked, marks
from infra.local._waiting import OnProgress, Progress, StackError, wait_ready
from infra.local.home import Home, default_home
from infra.local.options import UpOptions
from infra.local.state import State, read_state
from infra.local.status import StackStatus, status
from libs.files import write_whole

LOCK_PATIENCE = 5.0


@dataclass(frozen=True)
class Stopped:
    """What `down` ended, in words; `leftovers` are processes whose supervisor was dead already or did not end them."""

    supervisor: int | None = None
    leftovers: tuple[str, ...] = ()


def up(options: UpOptions, on_progress: OnProgress = lambda _: None) -> StackStatus:
    """Start the stack and return once all of it is ready; harmless where it runs already.

    Raises StackError when a part does not get ready, with the end of its log; the rest then still runs.
    """
    home = Home(options.home.absolute())
    home.make()
    with _alone(home):
        state = read_state(home)
        if state and state.supervisor.alive:
            on_progress(Progress("stack", "already running", _running_already(home, options, state)))
        else:
            _clear_leftovers(home, options.grace, on_progress)
            _spawn_supervisor(home, options)
    while True:
        wait_ready(home, options, on_progress)
        # Whoever died between that look and this one is waited for as well.
        if (found := status(home.folder)).ready or found.state != "running":
            return found


def down(home: Path | None = None, *, grace: float = 60.0) -> Stopped:
    """Stop everything of this stack, in order. Data, keys and logs stay. `grace` in seconds for the orderly way."""
    place = Home((home or default_home()).absolute())
    if not place.folder.exists():
        return Stopped()
    with _alone(place):
        state = read_state(place)
        supervisor = state.supervisor.process() if state else None
        if supervisor is not None:
            end([supervisor], grace)
        leftovers = _end_leftovers(place, grace=15.0)
        place.state.unlink(missing_ok=True)
    return Stopped(supervisor.pid if supervisor else None, leftovers)


def _running_already(home: Home, options: UpOptions, state: State) -> str:
    as_asked = UpOptions.model_validate_json(home.options.read_bytes()).services == options.services
    hint = "" if as_asked else ", with other services or settings than asked for now: `down` first to change them"
    return f"supervisor pid {state.supervisor.pid}{hint}"


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[None]:
    try:
        with FileLock(home.lock, timeout=LOCK_PATIENCE):
            yield
    except Timeout:
        raise StackError(f"Another `up` or `down` is at work in {home.folder}. Wait for it to end.") from None


def _clear_leftovers(home: Home, grace: float, on_progress: OnProgress) -> None:
    for found in _end_leftovers(home, grace):
        on_progress(Progress("stack", "found and stopped", f"{found}, whose supervisor was dead"))
    home.state.unlink(missing_ok=True)


def _end_leftovers(home: Home, grace: float) -> tuple[str, ...]:
    """End marked processes that no supervisor stops any more: those of services first, what is left after them."""
    found = marked(marks(home.folder))
    names = tuple(describe(process) for process in found)
    java = [process for process in found if _is_broker(process)]
    end([process for process in found if process not in java], grace)
    end(java, grace)
    return names


def _is_broker(process: psutil.Process) -> bool:
    try:
        return "kafka.Kafka" in process.cmdline()
    except psutil.Error:
        return False


def _spawn_supervisor(home: Home, options: UpOptions) -> None:
    write_whole(home.options, options.model_dump_json(indent=1))
    log = open_log(home.log("supervisor"))
    command = [sys.executable, "-m", "infra.local", str(home.folder)]
    with contextlib.closing(open(log, "ab")) as output:  # noqa: PTH123 -- a descriptor, not a path
        # The shell ends at once, so the supervisor is the system's child and not ours: nobody has to wait for it.
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **marks(home.folder)},
        )
