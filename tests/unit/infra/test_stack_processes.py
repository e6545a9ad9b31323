"""Processes are known by pid and birth or by their mark, ended in order, and their files are whole and private."""

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.local._files import open_log, tail
from infra.local._instance import Keeper
from infra.local._processes import ProcessId, describe, end, marked, marks
from infra.local._secrets import api_key, make_secrets
from infra.local.home import Home
from infra.local.options import ServiceSpec, UpOptions
from infra.local.state import Board, Instance, State, read_state
from libs.files import write_whole

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
POLITE = (
    "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}); print('up', flush=True);"
    "signal.sigwait({signal.SIGTERM}); print('bye')"
)
WILLING = "import signal; print('up', flush=True); signal.pause()"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.make()
    return home


@pytest.fixture
def child(home: Home, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A marked process that has said `up`."""
    environ = {**os.environ, **marks(home.folder, "grounding-1")}
    command = [sys.executable, "-c", getattr(request, "param", WILLING)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def test_a_process_is_known_by_pid_and_birth(child: subprocess.Popen[str]) -> None:
    found = ProcessId.of(child.pid)
    assert found
    assert found.alive
    assert not found.model_copy(update={"created": found.created - 60}).alive
    child.kill()
    assert psutil.wait_procs([psutil.Process(child.pid)], timeout=10)[1] == []
    assert not found.alive


def test_a_zombie_does_not_count_as_alive(child: subprocess.Popen[str]) -> None:
    found = ProcessId.of(child.pid)
    os.kill(child.pid, 9)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert found
    assert not found.alive


def test_a_marked_process_is_found_and_named_and_others_are_not(home: Home, child: subprocess.Popen[str]) -> None:
    assert [p.pid for p in marked(marks(home.folder))] == [child.pid]
    assert [describe(p) for p in marked(marks(home.folder, "grounding-1"))] == [f"grounding-1 (pid {child.pid})"]
    assert marked(marks(home.folder, "grounding-2")) == []
    assert marked(marks(home.folder / "another")) == []


@pytest.mark.parametrize(("child", "last_word"), [(POLITE, "bye\n"), (STUBBORN, "")], indirect=["child"])
def test_the_stubborn_are_killed_after_the_grace(child: subprocess.Popen[str], last_word: str) -> None:
    process = psutil.Process(child.pid)
    end([process], grace=0.5 if last_word == "" else 20)
    assert not process.is_running()
    assert child.stdout
    assert child.stdout.read() == last_word


class Watched:
    """A keeper's instance on a real board, and a way to wait for what becomes of it."""

    def __init__(self, home: Home, program: str, **options: float) -> None:
        me = ProcessId.of(os.getpid())
        assert me
        instance = Instance(service="grounding", log=str(home.log("grounding-0")))
        self._board = Board(home, State(supervisor=me, instances=(instance,)))
        self._update = self._board.updater("instances", 0)
        spec = ServiceSpec(name="grounding", command=(sys.executable, "-c", program))
        environ = {"TAILRACE_READY_FILE": str(home.ready("grounding-0"))}
        asked = UpOptions(home=home.folder, services=(spec,), restart_delay=0.01, **options)
        self.keeper = Keeper(home, asked, spec, environ, self.update)
        self.history: list[tuple[str, int]] = []
        self._event = asyncio.Event()

    @property
    def now(self) -> Instance:
        return self._board.state.instances[0]

    def update(self, **changes: object) -> Instance:
        instance = self._update(**changes)
        if changes:
            self.history.append((instance.phase, instance.restarts))
            self._event.set()
        return instance

    async def until(self, phase: str, restarts: int) -> None:
        async with asyncio.timeout(20):
            while (phase, restarts) not in self.history:
                self._event.clear()
                await self._event.wait()


READY = """
import json, os, pathlib, signal
path = pathlib.Path(os.environ["TAILRACE_READY_FILE"])
draft = path.with_suffix(".draft")
draft.write_text(json.dumps({"pid": os.getpid(), "health_port": 4321}))
draft.replace(path)
signal.pause()
"""


async def test_an_instance_is_seen_ready_restarted_after_a_kill_and_stopped(home: Home) -> None:
    watched = Watched(home, READY)
    keeping = asyncio.create_task(watched.keeper.keep())
    await watched.until("ready", 0)
    assert watched.now.facts["health_port"] == 4321
    assert watched.now.process
    os.kill(watched.now.process.pid, 9)
    await watched.until("ready", 1)
    assert (watched.now.exit_code, watched.now.failures) == (-9, 0)
    await watched.keeper.stop(grace=5)
    await keeping
    assert watched.now.phase == "stopped"
    assert marked(marks(home.folder)) == []


async def test_ends_without_having_been_ready_are_counted(home: Home) -> None:
    watched = Watched(home, "raise SystemExit(3)")
    keeping = asyncio.create_task(watched.keeper.keep())
    await watched.until("restarting", 2)
    assert watched.now.exit_code == 3
    assert watched.now.failures >= 2
    await watched.keeper.stop(grace=5)
    await keeping


async def test_a_ready_file_of_a_former_life_does_not_count(home: Home) -> None:
    home.ready("grounding-0").write_text('{"pid": 1, "health_port": 1}')
    watched = Watched(home, "pass")
    keeping = asyncio.create_task(watched.keeper.keep())
    await watched.until("restarting", 1)
    assert ("ready", 0) not in watched.history
    await watched.keeper.stop(grace=5)
    await keeping


async def test_a_command_that_does_not_exist_is_said_in_the_log(home: Home) -> None:
    watched = Watched(home, "pass")
    watched.keeper._spec = ServiceSpec(name="grounding", command=("/no/such/program",))
    keeping = asyncio.create_task(watched.keeper.keep())
    await watched.until("restarting", 1)
    assert "cannot start ('/no/such/program',)" in home.log("grounding-0").read_text()
    await watched.keeper.stop(grace=5)
    await keeping


async def test_children_of_a_killed_instance_are_cleared_up(home: Home) -> None:
    parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WILLING!r}], start_new_session=True)"
    watched = Watched(home, f"{parent}\n{READY}")
    keeping = asyncio.create_task(watched.keeper.keep())
    await watched.until("ready", 0)
    assert watched.now.process
    [orphan] = [p for p in marked(marks(home.folder, "grounding-0")) if p.pid != watched.now.process.pid]
    os.kill(watched.now.process.pid, 9)
    await watched.until("restarting", 1)
    assert not orphan.is_running()
    await watched.keeper.stop(grace=5)
    await keeping
    assert marked(marks(home.folder)) == []


def test_keys_are_made_once_and_private_and_added_hashes_stay(home: Home) -> None:
    public = make_secrets(home)
    key = api_key(home)
    home.api_keys.write_text(home.api_keys.read_text().replace("[", '[{"sha256": "00", "tenant": "other"}, ', 1))
    assert make_secrets(home) == public
    assert api_key(home) == key
    assert home.api_keys.read_text().count("sha256") == 2
    assert stat.S_IMODE(home.secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (home.api_key, home.seal_key)} == {0o600}


def test_before_the_first_up_there_is_no_key(home: Home) -> None:
    assert api_key(home) is None


@pytest.mark.parametrize("text", ["", "{", '{"supervisor": 3}', "null"])
def test_a_state_file_that_cannot_be_read_is_no_state(home: Home, text: str) -> None:
    home.state.write_text(text)
    assert read_state(home) is None


def test_the_end_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "some.log"
    assert tail(log) == ""
    log.write_bytes(b"".join(b"line %d\n" % number for number in range(10_000)) + b"\xff end\n")
    assert tail(log, lines=2) == "line 9999\n\ufffd end"


def test_a_log_grown_large_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "some.log"
    log.write_text("much")
    os.close(open_log(log, most_bytes=100))
    assert log.read_text() == "much"
    os.close(open_log(log, most_bytes=3))
    assert (log.read_text(), (tmp_path / "some.log.1").read_text()) == ("", "much")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "file", "old")
    write_whole(tmp_path / "file", "new")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file", "new")]
