"""Runs the jobs that nobody else runs: new ones, and those whose gateway has gone.

A job that breaks off (a full disk, a bug) rests a while and is taken up again; what is wrong is logged.
"""

import asyncio
import contextlib
from datetime import timedelta
from types import TracebackType
from typing import Self

from libs.clock import Clock
from libs.telemetry import get_logger
from services.gateway.handlers.batch_asking import Asker
from services.gateway.handlers.batch_run import Rules, run_job
from services.gateway.ports import Jobs, StorageFailed, Workspace

_SWEEP = timedelta(hours=1)
_SHORTEST_REST, _LONGEST_REST = 1.0, 60.0


class Keeper:
    """While the block runs. `at_once`: jobs under way in this process."""

    def __init__(self, jobs: Jobs, asker: Asker, rules: Rules, clock: Clock, *, at_once: int) -> None:
        self._jobs = jobs
        self._asker = asker
        self._rules = rules
        self._clock = clock
        self._at_once = at_once
        self._running: dict[str, asyncio.Task[None]] = {}
        self._rests: dict[str, tuple[float, float]] = {}
        """Job ids, with the loop's time until which they rest and how long that was."""
        self._woken = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._log = get_logger("batches")

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._looking is not None
        tasks = [self._looking, *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self) -> None:
        """There is a new job."""
        self._woken.set()

    async def _look(self) -> None:
        swept = None
        while True:
            try:
                await self._take_up()
                if swept is None or self._clock() - swept > _SWEEP:
                    swept = self._clock()
                    await self._jobs.sweep(swept)
            except (StorageFailed, OSError) as error:
                self._log.warning("batch jobs cannot be looked at", reason=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._rules.look.total_seconds()):
                    await self._woken.wait()
            self._woken.clear()

    async def _take_up(self) -> None:
        now = asyncio.get_running_loop().time()
        for tenant, job_id in await self._jobs.unfinished():
            if len(self._running) >= self._at_once:
                return
            if job_id in self._running or self._rests.get(job_id, (0.0, 0.0))[0] > now:
                continue
            workspace = await self._jobs.claim(tenant, job_id)
            if workspace is not None:
                self._running[job_id] = asyncio.create_task(self._run(job_id, workspace))

    async def _run(self, job_id: str, workspace: Workspace) -> None:
        self._log.info("batch taken up", batch=job_id)
        try:
            job = await run_job(workspace, self._asker, self._rules, self._clock)
        except Exception as error:
            self._rest(job_id, error)
        else:
            self._rests.pop(job_id, None)
            self._log.info("batch ended", batch=job_id, status=job.status, completed=job.completed, failed=job.failed)
        finally:
            await workspace.release()
            del self._running[job_id]
            self._woken.set()

    def _rest(self, job_id: str, error: Exception) -> None:
        rest = min(_LONGEST_REST, 2 * self._rests.get(job_id, (0.0, _SHORTEST_REST / 2))[1])
        self._rests[job_id] = (asyncio.get_running_loop().time() + rest, rest)
        # A bug's message may quote what was being worked on.
        reason = str(error) if isinstance(error, StorageFailed) else type(error).__name__
        self._log.error("batch broken off", batch=job_id, reason=reason, again_in_seconds=rest)
