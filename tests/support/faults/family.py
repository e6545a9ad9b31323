"""All services of the path, each in a process of its own, started again whenever one ends; the broker with them.

What a test does to them stands here as one word each: `kill`, `hold`, `pause`, `meets`.
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from infra.kafka import Cluster, ensure_topics
from libs.sealing import write_key_file
from libs.settings import BusSettings
from schemas.topics import CATALOGUE
from tests.support.faults.fate import Fate
from tests.support.faults.life import Life, live

STAGES = ("ingestion", "grounding", "safety", "inference", "post_processing")
"""Who is always there. The gateway and feedback join where a test wants them."""
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.support.faults.life"])


@dataclass
class Member:
    """One instance of a service."""

    name: str
    ordinal: int
    environ: dict[str, str]
    fate: Fate
    """What befalls every life that has no fate of its own."""
    fates: deque[Fate] = field(default_factory=deque)
    held: bool = False
    left: bool = False
    process: ForkServerProcess | None = None
    present: Fate = field(default_factory=Fate)
    lives: int = 0
    keeping: "asyncio.Task[None] | None" = None

    @property
    def ready_file(self) -> Path:
        """Written by the service when it is ready."""
        return Path(self.environ["TAILRACE_READY_FILE"])

    @property
    def doomed(self) -> bool:
        """A death is still before it."""
        return bool(self.fates) or self.present.dies is not None

    def signal(self, number: signal.Signals) -> None:
        """Harmless where it has ended."""
        if self.process is not None and self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)


class Family:
    """The services on one broker."""

    def __init__(self, folder: Path, cluster: Cluster, settings: BusSettings, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.cluster = cluster
        self.settings = settings
        self.exits: dict[str, list[int]] = defaultdict(list)
        """Exit codes of ended lives; -9 is kill -9."""
        self._environ = dict(environ)
        self._members: dict[tuple[str, int], Member] = {}
        self._changed = asyncio.Condition()

    # -- who is there -------------------------------------------------------------------------------------------

    async def join(self, *names: str, ordinal: int = 0, fate: Fate | None = None) -> None:
        """Starts an instance of each and returns when all are ready."""
        for name in names:
            member = self._member(name, ordinal, fate or Fate())
            self._members[name, ordinal] = member
            member.keeping = asyncio.create_task(self._keep(member))
        for name in names:
            await self.ready(name, ordinal)

    async def leave(self, *names: str, ordinal: int = 0, by: signal.Signals = signal.SIGTERM) -> None:
        """Ends instances for good."""
        left = [self._members.pop((name, ordinal)) for name in names]
        for member in left:
            member.left = True
            member.signal(signal.SIGCONT)
            member.signal(by)
        await self._tell()
        await asyncio.gather(*(member.keeping for member in left if member.keeping is not None))

    async def ready(self, name: str, ordinal: int = 0, *, within: float = 60) -> dict[str, Any]:
        """What the instance says of itself, once it is ready."""
        member = self._members[name, ordinal]
        try:
            async with asyncio.timeout(within):
                while not (facts := _facts(member)):  # noqa: ASYNC110 - a file tells nobody
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{name}-{ordinal} did not get ready:\n{self.log_tail(name, ordinal)}") from None
        return facts

    def log_tail(self, name: str, ordinal: int = 0, lines: int = 30) -> str:
        """The end of what an instance said."""
        return "\n".join((self.folder / f"{name}-{ordinal}.log").read_text(errors="replace").splitlines()[-lines:])

    async def close(self) -> None:
        """Ends them all."""
        for ordinal in {ordinal for _, ordinal in self._members}:
            await self.leave(*(name for name, number in self._members if number == ordinal), ordinal=ordinal)

    # -- what is done to them -----------------------------------------------------------------------------------

    def kill(self, name: str, ordinal: int = 0) -> None:
        """kill -9; it is started again. From now on `ready` waits for its next life."""
        member = self._members[name, ordinal]
        member.ready_file.unlink(missing_ok=True)
        member.signal(signal.SIGKILL)

    def pause(self, name: str, ordinal: int = 0) -> None:
        """SIGSTOP: it holds what it holds, and does not know that time passes."""
        self._members[name, ordinal].signal(signal.SIGSTOP)

    def resume(self, name: str, ordinal: int = 0) -> None:
        """SIGCONT."""
        self._members[name, ordinal].signal(signal.SIGCONT)

    def meets(self, name: str, *fates: Fate, ordinal: int = 0) -> None:
        """The next lives of an instance. The present one ends now."""
        self._members[name, ordinal].fates.extend(fates)
        self.kill(name, ordinal)

    def doomed(self) -> bool:
        """Whether a death is still to come."""
        return any(member.doomed for member in self._members.values())

    async def hold(self, *names: str, by: signal.Signals = signal.SIGKILL) -> None:
        """Ends them; they stay away until `release`."""
        held = [self._members[name, 0] for name in names]
        for member in held:
            member.held = True
            member.signal(by)
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: all(member.process is None for member in held))

    async def release(self, *names: str, fate: Fate | None = None, wait: bool = True) -> None:
        """Lets them live again, from now on under that fate."""
        for name in names:
            self._members[name, 0].held = False
            self._members[name, 0].fate = fate or Fate()
        await self._tell()
        for name in names if wait else ():
            await self.ready(name)

    async def anew(self, *names: str, fate: Fate | None = None) -> None:
        """Stops and starts them, under another fate."""
        await self.hold(*names, by=signal.SIGTERM)
        await self.release(*names, fate=fate)

    # -- how they are kept --------------------------------------------------------------------------------------

    def _member(self, name: str, ordinal: int, fate: Fate) -> Member:
        own = {
            "TAILRACE_INSTANCE": str(ordinal),
            "TAILRACE_READY_FILE": str(self.folder / f"{name}-{ordinal}.json"),
            "TAILRACE_DATA_DIR": str(self.folder / "data" / f"{name}-{ordinal}"),
        }
        return Member(name, ordinal, {**self._environ, **own}, fate)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _keep(self, member: Member) -> None:
        while not member.left:
            if member.held:
                async with self._changed:
                    await self._changed.wait_for(lambda: member.left or not member.held)
            else:
                await self._one_life(member)
                await self._tell()

    async def _one_life(self, member: Member) -> None:
        member.ready_file.unlink(missing_ok=True)
        member.present = member.fates.popleft() if member.fates else member.fate
        log = self.folder / f"{member.name}-{member.ordinal}.log"
        life = Life(member.name, member.environ, log, member.present)
        process = _FORKS.Process(target=live, args=(life,), daemon=True)
        process.start()
        member.process = process
        member.lives += 1
        if member.left or member.held:
            member.signal(signal.SIGKILL)
        await _ended(process)
        member.process, member.present = None, Fate()
        member.ready_file.unlink(missing_ok=True)
        code = process.exitcode or 0
        self.exits[member.name].append(code)
        if code != -signal.SIGKILL and not (member.left or member.held):
            # It ended by itself: whatever made it will not be over at once.
            await asyncio.sleep(0.2)


async def _ended(process: ForkServerProcess) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process.sentinel, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(process.sentinel)
    process.join()


def _facts(member: Member) -> dict[str, Any]:
    """Empty until the present process is ready."""
    try:
        facts: dict[str, Any] = json.loads(member.ready_file.read_text())
    except (OSError, ValueError):
        return {}
    return facts if member.process is not None and facts["pid"] == member.process.pid else {}


@asynccontextmanager
async def family(folder: Path, cluster: Cluster, **environ: str) -> AsyncIterator[Family]:
    """All stages, ready, on topics of a started cluster. Leaves nothing running."""
    settings = BusSettings(
        bootstrap_servers=cluster.bootstrap_servers,
        topic_partitions=4,
        replication_factor=min(3, len(cluster.brokers)),
    )
    await ensure_topics(settings, CATALOGUE)
    key_file = folder / "seal.json"
    made = Family(
        folder,
        cluster,
        settings,
        {
            "TAILRACE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "TAILRACE_SAFETY_SEAL_PUBLIC_KEY": write_key_file(key_file),
            "TAILRACE_POST_PROCESSING_SEAL_KEY_FILE": str(key_file),
            "TAILRACE_INFERENCE_ENGINE": "echo",
            "TAILRACE_GROUNDING_INDEX": "memory",
            "TAILRACE_GROUNDING_EMBEDDING_MODEL": "hashing",
            "TAILRACE_GRACE_SECONDS": "5",
            **environ,
        },
    )
    try:
        await made.join(*STAGES)
        yield made
    finally:
        await made.close()
