"""Waiting for a stack to get ready: tells each change once, and says which part failed with the end of its log."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.local._files import tail
from infra.local.home import Home
from infra.local.options import UpOptions
from infra.local.state import Instance, State, read_state

POLL = 0.1
SUPERVISOR_START = 30.0


class StackError(RuntimeError):
    """The stack did not come up, or another command is at work on it. The message says what to do."""


@dataclass(frozen=True)
class Progress:
    """One thing that happened: `subject` is a service instance, `broker-0` or `stack`."""

    subject: str
    state: str
    detail: str = ""


OnProgress = Callable[[Progress], None]


def wait_ready(home: Home, options: UpOptions, on_progress: OnProgress) -> None:
    """Return once all of it is ready. Raises StackError when a part ends too often, or takes too long."""
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
