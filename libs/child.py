"""A piece of work in a process of its own, which dies with this one; what it says comes through a pipe, line by line.

Heavy libraries stay out of the service that asks for the work, and their memory goes with the process.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from libs.bus import Retryable
from libs.processes import tied_to_parent
from libs.telemetry import get_logger

_ROOT = Path(__file__).resolve().parents[1]
_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONUNBUFFERED": "1",
}
_LONGEST_LINE = 1024 * 1024
R = TypeVar("R", bound=BaseModel)
E = TypeVar("E", bound=BaseModel)


@dataclass(frozen=True)
class Child:
    """`python -m MODULE ARGUMENTS... PIPE`. `environ`: beside our own. `log`: all that it writes, appended.

    `grace`: seconds that it has to end when it is told to.
    """

    module: str
    log: Path
    environ: Mapping[str, str]
    grace: float

    async def run(self, *arguments: str) -> AsyncGenerator[bytes | int]:
        """Its lines, and its exit code last. Closing it tells the process to stop, and waits until it is gone."""
        reading, writing = os.pipe()
        process = await self._start(arguments, reading, writing)
        try:
            async for line in _lines(reading):
                yield line
            yield await process.wait()
        finally:
            await self._stop(process)

    async def work(
        self, *arguments: str, report: type[R], ended: Callable[[], E | None], waits: Mapping[int, str | None]
    ) -> AsyncGenerator[R | E]:
        """What it reports, and what `ended` finds when it is over, last; at once where it is over already.

        Raises Retryable where its exit code is one of `waits`, with the reason there, or else its last words;
        RuntimeError where it ended otherwise without a result.
        """
        if (found := ended()) is None:
            code = 0
            async with aclosing(self.run(*arguments)) as said:
                async for line in said:
                    if isinstance(line, int):
                        code = line
                    else:
                        yield report.model_validate_json(line)
            if (found := ended()) is None and code in waits:
                raise Retryable(waits[code] or self.last_words())
            if found is None:
                raise RuntimeError(f"{self.module} ended with {code}: {self.last_words()}; more in {self.log}")
        yield found

    def last_words(self) -> str:
        """The last line of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-40:] if self.log.exists() else []
        return next((line.strip()[:500] for line in reversed(lines) if line.strip()), "it said nothing")

    async def _start(self, arguments: Sequence[str], reading: int, writing: int) -> asyncio.subprocess.Process:
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        try:
            with await asyncio.to_thread(self.log.open, "ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", self.module, *arguments, str(writing)),
                    cwd=_ROOT,
                    env={**environ, **_QUIET, **self.environ},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(writing,),
                    preexec_fn=tied_to_parent(),
                )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        get_logger("child").info("started", module=self.module, log=str(self.log), pid=process.pid)
        return process

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        """Whoever awaits this is being cancelled, or the process has ended."""
        if process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self.grace):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _lines(reading: int) -> AsyncGenerator[bytes]:
    """Until the other end is closed."""
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader(limit=_LONGEST_LINE)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reading, "rb"))
    try:
        while line := await stream.readline():
            yield line
    finally:
        transport.close()
