"""`up` and `down`: start the supervisor behind the scenes and wait for its stack; stop it, and whatever else is left.

Both may be called at any time, in any state: a second `up` changes nothing, a `down` of nothing stops nothing.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from infra.local._files import open_log, tail, write_whole
from infra.local._processes import describe, end, marked, marks
from infra.local.home import Home, default_home
from infra.local.options import UpOptions
from infra.local.state import Instance, State, read_state
from infra.local.status import StackStatus, status

POLL = 0.1
SUPERVISOR_START = 30.0
LOCK_PATIENCE = 5.0


class StackError(RuntimeError):
    """The stack did not come up, or another command is at work on it. The message says what to do."""


@dataclass(frozen=True)
class Progress:
    """One thing that happened: `subject` is a service instance, `broker-0` or `stack`."""

    subject: str
    state: str
    detail: str = ""


@dataclass(frozen=True)
class Stopped:
    """What `down` ended, in words; `leftovers` are processes whose supervisor was dead already or did not end them."""

    supervisor: int | None = None
    leftovers: tuple[str, ...] = ()


OnProgress = Callable[[Progress], None]


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
    _wait_ready(home, options, on_progress)
    return status(home.folder)


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


def _wait_ready(home: Home, options: UpOptions, on_progress: OnProgress) -> None:
    began = time.monotonic()
    shown: dict[str, str] = {}
    while True:
        state = read_state(home)
        if state is not None:
            _show(state, shown, on_progress)
            _raise_failure(home, state, options)
            if state.phase == "running" and all(i.phase == "ready" for i in state.everyone()):
                return
        waited = time.monotonic() - began
        if waited > (options.ready_timeout if state else SUPERVISOR_START):
            raise StackError(_not_ready(home, state, waited))
        time.sleep(POLL)


def _show(state: State, shown: dict[str, str], on_progress: OnProgress) -> None:
    """Tell each change once."""
    for warning in state.warnings:
        if shown.setdefault(warning, "") != "told":
            shown[warning] = "told"
            on_progress(Progress("stack", "warning", warning))
    for instance in state.everyone():
        if shown.get(instance.name) != instance.phase:
            shown[instance.name] = instance.phase
            on_progress(Progress(instance.name, instance.phase, _detail(instance)))


def _detail(instance: Instance) -> str:
    if instance.phase == "restarting":
        return f"ended with exit code {instance.exit_code}"
    return str(instance.facts.get("url", ""))


def _raise_failure(home: Home, state: State, options: UpOptions) -> None:
    if state.phase == "failed":
        raise StackError(f"The stack could not start: {state.problem}")
    if not state.supervisor.alive:
        raise StackError(f"The supervisor ended while starting. {_log_of(home.log('supervisor'))}")
    for instance in state.instances:
        if instance.failures >= options.failures:
            raise StackError(
                f"{instance.name} ended {instance.failures} times before it was ready, at last with exit code "
                f"{instance.exit_code}. {_log_of(Path(instance.log))}\nWhat else started still runs: tailrace down."
            )


def _not_ready(home: Home, state: State | None, waited: float) -> str:
    if state is None:
        return f"The supervisor did not start within {waited:.0f} s. {_log_of(home.log('supervisor'))}"
    late = [instance for instance in state.everyone() if instance.phase != "ready"]
    names = ", ".join(f"{instance.name} ({instance.phase})" for instance in late) or "the broker's topics"
    logs = "\n".join(_log_of(Path(instance.log)) for instance in late)
    return f"Not ready after {waited:.0f} s: {names}. {logs}\nWhat else started still runs: tailrace down."


def _log_of(path: Path) -> str:
    return f"End of {path}:\n{tail(path)}"
