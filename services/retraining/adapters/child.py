"""Trains in a process of its own, which dies with this one; what it says comes through a pipe."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from pydantic import SecretStr

from libs.bus import Retryable
from libs.processes import tied_to_parent
from libs.telemetry import get_logger
from services.retraining.domain.job import Ended, Job, Report
from services.retraining.training.__main__ import REGISTRY, REGISTRY_AWAY, TOLD_TO_STOP

_ROOT = Path(__file__).resolve().parents[3]
_LOG = "training.log"
_QUIET = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONUNBUFFERED": "1",
}


class ChildTrainer:
    """`Trainer`. `registry`: MLflow's address. `grace`: seconds a training has to save itself when told to stop."""

    def __init__(self, runs: Path, registry: SecretStr, *, grace: float) -> None:
        self._runs, self._registry, self._grace = runs, registry, grace
        self._log = get_logger("training")

    async def train(self, job: Job) -> AsyncGenerator[Report | Ended]:
        folder = self._runs / job.run_id
        if (ended := _ended(folder)) is None:
            reading, writing = os.pipe()
            process = await self._start(folder, reading, writing)
            try:
                async for report in _reports(reading):
                    yield report
                code = await process.wait()
            finally:
                await self._stop(process)
            ended = self._ended(folder, code)
        yield ended

    async def _start(self, folder: Path, reading: int, writing: int) -> asyncio.subprocess.Process:
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        command = (sys.executable, "-m", "services.retraining.training", str(folder), str(writing))
        try:
            with await asyncio.to_thread((folder / _LOG).open, "ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    cwd=_ROOT,
                    env={**environ, **_QUIET, REGISTRY: self._registry.get_secret_value()},
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
        self._log.info("training", run=folder.name, pid=process.pid)
        return process

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        """Whoever awaits this is being cancelled, or the process has ended."""
        if process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._grace):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _ended(self, folder: Path, code: int) -> Ended:
        if (ended := _ended(folder)) is not None:
            return ended
        last = _last_line(folder / _LOG)
        if code == REGISTRY_AWAY:
            raise Retryable(last)
        if code == TOLD_TO_STOP:
            raise Retryable("the training was told to stop; it goes on from where it was")
        raise RuntimeError(f"the training ended with {code}: {last}; more in {folder / _LOG}")


async def _reports(reading: int) -> AsyncGenerator[Report]:
    """Until the other end is closed."""
    loop = asyncio.get_running_loop()
    stream = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(reading, "rb"))
    try:
        while line := await stream.readline():
            yield Report.model_validate_json(line)
    finally:
        transport.close()


def _ended(folder: Path) -> Ended | None:
    path = folder / "ended.json"
    return Ended.model_validate_json(path.read_bytes()) if path.exists() else None


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-40:] if log.exists() else []
    return next((line.strip()[:500] for line in reversed(lines) if line.strip()), "it said nothing")
