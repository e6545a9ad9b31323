"""Keeps one process running: starts it, sees it become ready, starts it again with growing delays when it ends.

The policy is that of a container with `restart: always`. Knows nothing of what the process does.
"""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from infra.local._files import open_log
from infra.local._processes import ProcessId, end, marked, marks
from infra.local.home import Home
from infra.local.options import ServiceSpec, UpOptions
from infra.local.state import Instance

READY_POLL = 0.1


class Keeper:
    """One instance of a service under supervision."""

    def __init__(
        self,
        home: Home,
        options: UpOptions,
        spec: ServiceSpec,
        environ: Mapping[str, str],
        update: Callable[..., Instance],
    ) -> None:
        self._home = home
        self._options = options
        self._spec = spec
        self._environ = dict(environ)
        self._update = update
        self._now = update()
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    async def keep(self) -> None:
        """Until `stop`: start, wait for the end, wait a little, start again."""
        short_lives = 0
        while not self._stopping.is_set():
            lived = await self._live()
            if self._stopping.is_set():
                break
            if lived >= self._options.stable_after:
                short_lives = 0
            await self._pause(self._options.delay_after(short_lives))
            short_lives += 1
        self._update(phase="stopped", process=None, facts={})

    async def _live(self) -> float:
        """One life of the process; how many seconds it lasted."""
        loop = asyncio.get_running_loop()
        born = loop.time()
        process = await self._start()
        if process is not None:
            becoming_ready = asyncio.create_task(self._see_ready(process.pid))
            await process.wait()
            becoming_ready.cancel()
            await asyncio.to_thread(self._clear_up)
            was_ready = self._now.phase == "ready"
            self._change(exit_code=process.returncode, failures=0 if was_ready else self._now.failures + 1)
        return loop.time() - born

    async def _start(self) -> asyncio.subprocess.Process | None:
        ready = self._home.ready(self._now.name)
        ready.unlink(missing_ok=True)
        log = open_log(Path(self._now.log))
        try:
            process = await asyncio.create_subprocess_exec(
                *self._spec.command_line,
                env={**os.environ, **self._environ, **marks(self._home.folder, self._now.name)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A Ctrl-C in the terminal is for the command that runs there, not for the stack behind it.
                start_new_session=True,
            )
        except OSError as error:
            os.write(log, f"cannot start {self._spec.command_line}: {error}\n".encode())
            self._change(exit_code=127, failures=self._now.failures + 1)
            return None
        finally:
            os.close(log)
        self._process = process
        self._change(phase="starting", process=ProcessId.of(process.pid), facts={})
        if self._stopping.is_set():
            self._terminate()
        return process

    async def _see_ready(self, pid: int) -> None:
        while True:
            facts = await asyncio.to_thread(_read_facts, self._home.ready(self._now.name))
            if facts.get("pid") == pid:
                self._change(phase="ready", facts=facts, failures=0)
                return
            await asyncio.sleep(READY_POLL)

    def _clear_up(self) -> None:
        """A process killed outright leaves children behind; they would hold the ports and the memory of the next."""
        end(marked(marks(self._home.folder, self._now.name)), grace=2)

    async def _pause(self, seconds: float) -> None:
        self._change(phase="restarting", process=None, facts={}, restarts=self._now.restarts + 1)
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL after `grace` seconds. `keep` returns once the process has ended."""
        self._stopping.set()
        if self._process is None or self._process.returncode is not None:
            return
        self._change(phase="stopping")
        self._terminate()
        try:
            async with asyncio.timeout(grace):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()

    def _terminate(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)

    def _change(self, **changes: object) -> None:
        self._now = self._update(**changes)


def _read_facts(path: Path) -> dict[str, object]:
    try:
        facts = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
