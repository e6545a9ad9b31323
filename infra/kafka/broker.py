"""One Apache Kafka node as a child process: format, start, wait until it serves, stop, kill, start again.

Everything it writes lies in one folder, so a new Broker on the same folder is the same broker with the same records.
Knows no topics and no events. Blocking; `Cluster` has the awaitable forms.
"""

import contextlib
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from infra.kafka import _health
from infra.kafka._ports import LOOPBACK
from infra.kafka._process import spawn
from infra.kafka._properties import NodePorts, server_properties
from infra.kafka._runtime import Runtime

LOGGING = Path(__file__).with_name("log4j2.properties")


class BrokerError(RuntimeError):
    """The broker could not be started; the message carries the end of its log."""


class Broker:
    """One node. `start()` returns when the process runs; `wait_ready()` when all `nodes` serve."""

    def __init__(
        self,
        folder: Path,
        node: NodePorts,
        nodes: Sequence[NodePorts],
        cluster_id: str,
        *,
        runtime: Runtime,
        overrides: Mapping[str, str] | None = None,
        die_with_parent: bool = False,
    ) -> None:
        self.folder = folder
        self.node = node
        self._nodes = tuple(nodes)
        self._cluster_id = cluster_id
        self._runtime = runtime
        self._overrides = dict(overrides or {})
        self._die_with_parent = die_with_parent
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The broker's own log; what the JVM itself says is in `jvm.out` beside it."""
        return self.folder / "broker.log"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the process, 0 when it does not run."""
        return int(psutil.Process(pid).memory_info().rss) if (pid := self.pid) else 0

    def start(self) -> None:
        """Start the process on its ports and data; formats the data folder the first time."""
        if self.pid:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        data = self.folder / "data"
        properties.write_text(server_properties(self.node, self._nodes, data, self._overrides))
        if not (data / "meta.properties").exists():
            self._format(properties)
        options = (f"-Dlog4j2.configurationFile={LOGGING}", f"-Dtailrace.broker.log={self.log}")
        command = self._runtime.command("kafka.Kafka", str(properties), options=options)
        self._process = spawn(command, output=self.folder / "jvm.out", die_with_parent=self._die_with_parent)

    def _format(self, properties: Path) -> None:
        options = (f"-Dlog4j2.configurationFile={LOGGING}", f"-Dtailrace.broker.log={self.log}")
        arguments = ("format", "-t", self._cluster_id, "-c", str(properties))
        command = self._runtime.command("kafka.tools.StorageTool", *arguments, options=options)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BrokerError(f"Kafka could not format {self.folder}:\n{done.stdout}{done.stderr}")

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Block until this broker says that all nodes serve. Raises BrokerError when it dies or takes longer."""
        wanted = {node.node_id for node in self._nodes}
        deadline = time.monotonic() + timeout
        while not self.serves(wanted):
            if self.pid is None:
                raise BrokerError(f"Broker {self.node.node_id} ended while starting. {self.log_tail()}")
            if time.monotonic() > deadline:
                raise BrokerError(f"Broker {self.node.node_id} not ready in {timeout} s. {self.log_tail()}")
            time.sleep(0.05)

    def serves(self, wanted: set[int] | None = None) -> bool:
        """Whether it answers now and sees the nodes `wanted` (by default itself) serving."""
        with contextlib.suppress(OSError):
            return (wanted or {self.node.node_id}) <= _health.live_brokers(LOOPBACK, self.node.client)
        return False

    def stop(self, grace: float = 15.0) -> None:
        """Orderly stop (SIGTERM), and an end (SIGKILL) after `grace` seconds."""
        self.terminate()
        try:
            if self._process is not None:
                self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM), without waiting."""
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def restart(self, timeout: float = 60.0) -> None:
        """Start again on the same ports and data, after `stop` or `kill`, and wait until it serves."""
        self.stop()
        self.start()
        self.wait_ready(timeout)

    def log_tail(self, lines: int = 20) -> str:
        """The end of its logs, with their places."""
        return "\n".join(_tail(path, lines) for path in (self.folder / "jvm.out", self.log))


def _tail(path: Path, lines: int) -> str:
    text = path.read_text(errors="replace").splitlines()[-lines:] if path.exists() else []
    return "\n".join((f"End of {path}:", *text))
