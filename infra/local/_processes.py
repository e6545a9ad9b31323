"""Which processes are ours, also after their supervisor died; and how they are ended.

A process is known by pid and birth, and by a mark in its environment, which its own children inherit.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel, ConfigDict

STACK_MARK = "TAILRACE_SUPERVISED_HOME"
INSTANCE_MARK = "TAILRACE_SUPERVISED_INSTANCE"


class ProcessId(BaseModel):
    """A pid and when it was born: together they never name another process."""

    model_config = ConfigDict(frozen=True)

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The process that has this pid now, if any."""
        try:
            return cls(pid=pid, created=psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def process(self) -> psutil.Process | None:
        """The live process, None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 0.1
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process() is not None


def marks(home: Path, instance: str | None = None) -> dict[str, str]:
    """Environment variables that mark a process and all it starts as belonging to this stack."""
    stack = {STACK_MARK: str(home)}
    return stack | {INSTANCE_MARK: instance} if instance else stack


def marked(wanted: Mapping[str, str]) -> list[psutil.Process]:
    """Live processes that carry all these marks, without this one."""
    return [p for p in psutil.process_iter() if p.pid != os.getpid() and _carries(p, wanted)]


def _carries(process: psutil.Process, wanted: Mapping[str, str]) -> bool:
    try:
        # A zombie has no environment any more.
        return wanted.items() <= process.environ().items()
    except (psutil.Error, OSError):
        return False


def describe(process: psutil.Process) -> str:
    """What an operator recognises it by."""
    try:
        name = process.environ().get(INSTANCE_MARK) or process.name()
    except (psutil.Error, OSError):
        name = "process"
    return f"{name} (pid {process.pid})"


def end(processes: Iterable[psutil.Process], grace: float) -> None:
    """SIGTERM to all, SIGKILL to those that still live after `grace` seconds."""
    processes = list(processes)
    for process in processes:
        _signal(process, kill=False)
    for process in psutil.wait_procs(processes, timeout=grace)[1]:
        _signal(process, kill=True)
    psutil.wait_procs(processes, timeout=5)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        process.kill() if kill else process.terminate()
    except psutil.Error:
        return
