"""The long-lived process behind `tailrace up`: broker first, then topics and keys, then the services; all kept running.

SIGTERM stops it in order: the gateway, so that no new work comes in, then the other services, then the broker. If it
is killed outright, what it started lives on, as containers do without their daemon; the next `up` or `down` finds it.
"""

import asyncio
import os
import signal
import traceback
from collections.abc import Mapping
from pathlib import Path

from infra.kafka import BrokerError, Cluster, JarError, TopicsError, ensure_topics, free_ports
from infra.local._brokers import keep_broker
from infra.local._instance import Keeper
from infra.local._processes import ProcessId
from infra.local._secrets import make_secrets
from infra.local.home import Home
from infra.local.options import ServiceSpec, UpOptions
from infra.local.state import Board, Instance, State
from libs.settings import BusSettings
from schemas.topics import CATALOGUE


def supervise(folder: Path) -> int:
    """Run the stack whose options lie in `folder` until SIGTERM or SIGINT; the exit status."""
    home = Home(folder)
    options = UpOptions.model_validate_json(home.options.read_bytes())
    me = ProcessId.of(os.getpid())
    if me is None:
        raise RuntimeError("this process cannot read its own birth time from the system")
    return asyncio.run(_Supervisor(home, options, me).run())


class _Supervisor:
    def __init__(self, home: Home, options: UpOptions, me: ProcessId) -> None:
        self._home = home
        self._options = options
        self._board = Board(home, State(supervisor=me))
        self._cluster: Cluster | None = None
        self._keepers: dict[str, list[Keeper]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    async def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        try:
            await self._start()
            await self._stop.wait()
        except Exception as error:
            known = isinstance(error, BrokerError | JarError | TopicsError)
            problem = str(error) if known else traceback.format_exc()
            await self._end()
            self._board.change(phase="failed", problem=problem)
            return 1
        await self._end()
        self._home.state.unlink(missing_ok=True)
        return 0

    async def _start(self) -> None:
        self._cluster = await asyncio.to_thread(Cluster, self._home.kafka, brokers=self._options.brokers)
        self._show_brokers()
        await asyncio.to_thread(self._cluster.start)
        self._keep_brokers(self._cluster)
        bus = BusSettings(
            bootstrap_servers=self._cluster.bootstrap_servers, replication_factor=min(3, self._options.brokers)
        )
        report = await ensure_topics(bus, CATALOGUE)
        self._board.change(
            bootstrap_servers=bus.bootstrap_servers, warnings=tuple(f"topic {d}" for d in report.different)
        )
        seal_key = await asyncio.to_thread(make_secrets, self._home)
        self._start_services(self._common_environ(bus, seal_key))
        self._board.change(phase="running")

    def _show_brokers(self) -> None:
        logs = [self._home.kafka / f"broker-{i + 1}" / "broker.log" for i in range(self._options.brokers)]
        self._board.change(
            brokers=tuple(Instance(service="broker", ordinal=i, log=str(log)) for i, log in enumerate(logs))
        )

    def _keep_brokers(self, cluster: Cluster) -> None:
        for position, broker in enumerate(cluster.brokers):
            update = self._board.updater("brokers", position)
            self._tasks.append(asyncio.create_task(keep_broker(broker, self._options, update)))

    def _common_environ(self, bus: BusSettings, seal_key: str) -> dict[str, str]:
        return {
            "TAILRACE_BOOTSTRAP_SERVERS": bus.bootstrap_servers,
            "TAILRACE_SAFETY_SEAL_PUBLIC_KEY": seal_key,
            "TAILRACE_POST_PROCESSING_SEAL_KEY_FILE": str(self._home.seal_key),
            "TAILRACE_GATEWAY_API_KEYS_FILE": str(self._home.api_keys),
            # Empty: a service is started again and again; compiled anew each time, its imports take thrice as long.
            "PYTHONDONTWRITEBYTECODE": "",
        }

    def _start_services(self, common: Mapping[str, str]) -> None:
        chosen = [(spec, ordinal) for spec in self._options.services for ordinal in range(spec.instances)]
        shown = (Instance(service=spec.name, ordinal=ordinal) for spec, ordinal in chosen)
        self._board.change(instances=tuple(i.model_copy(update={"log": str(self._home.log(i.name))}) for i in shown))
        for position, (spec, ordinal) in enumerate(chosen):
            environ = {**common, **self._own_environ(spec, ordinal), **spec.environ}
            update = self._board.updater("instances", position)
            keeper = Keeper(self._home, self._options, spec, environ, update)
            self._keepers.setdefault(spec.name, []).append(keeper)
            self._tasks.append(asyncio.create_task(keeper.keep()))

    def _own_environ(self, spec: ServiceSpec, ordinal: int) -> dict[str, str]:
        data = self._home.data(spec.name, ordinal)
        data.mkdir(parents=True, exist_ok=True)
        own = {
            "TAILRACE_INSTANCE": str(ordinal),
            "TAILRACE_READY_FILE": str(self._home.ready(f"{spec.name}-{ordinal}")),
            "TAILRACE_DATA_DIR": str(data),
        }
        if spec.name == "gateway" and (ordinal or "TAILRACE_GATEWAY_PORT" not in os.environ):
            # Chosen here, so that callers find a restarted gateway where it was.
            own["TAILRACE_GATEWAY_PORT"] = str(free_ports(1)[0])
        if spec.name == "gateway" and "TAILRACE_GATEWAY_BATCH_DIR" not in os.environ:
            # One for all gateways: each answers for every job, whoever runs it.
            own["TAILRACE_GATEWAY_BATCH_DIR"] = str(self._home.data("gateway", 0).with_name("gateway-batches"))
        return {**own, **self._shared_folders(spec.name)}

    def _shared_folders(self, service: str) -> dict[str, str]:
        """Where one service puts what others, or the console, look for; what the operator has set stays."""
        folders = {
            "feedback": {"DATASETS": self._home.datasets},
            "inference": {"ADAPTERS": self._home.models},
            "retraining": {
                "DATASETS": self._home.datasets,
                "MODELS": self._home.models,
                "REGISTRY_FOLDER": self._home.registry,
                "RUNS": self._home.folder / "data" / "training-runs",
            },
            "evaluation": {
                "DATASETS": self._home.datasets,
                "MODELS": self._home.models,
                "REGISTRY_FOLDER": self._home.registry,
                "REPORTS": self._home.examinations,
            },
        }
        chosen = {f"TAILRACE_{service.upper()}_{name}": str(path) for name, path in folders.get(service, {}).items()}
        return {name: path for name, path in chosen.items() if name not in os.environ}

    async def _end(self) -> None:
        """Gateway, other services, broker. Every step is taken, whatever the one before it met."""
        self._board.change(phase="stopping")
        grace = self._options.grace
        await asyncio.gather(*(keeper.stop(grace) for keeper in self._keepers.pop("gateway", [])))
        await asyncio.gather(*(keeper.stop(grace) for keepers in self._keepers.values() for keeper in keepers))
        watching = self._tasks[: len(self._board.state.brokers)]
        for task in watching:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._cluster is not None:
            await asyncio.to_thread(self._cluster.stop)
