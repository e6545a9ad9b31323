"""A Kafka cluster on loopback for laptops and tests: one broker by default, three with replication where wanted.

Ports and cluster id are kept in the folder, so a cluster opened again on it is found at the same address if it is free.
"""

import asyncio
import base64
import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra.kafka._ports import free_ports, is_free
from infra.kafka._properties import NodePorts
from infra.kafka._runtime import Runtime
from infra.kafka.broker import Broker, BrokerError

START_ATTEMPTS = 3


class Cluster:
    """`with Cluster(folder) as cluster:` or `async with`; then `cluster.bootstrap_servers`. Leaves nothing running."""

    def __init__(
        self,
        folder: Path,
        *,
        brokers: int = 1,
        heap_mb: int = 384,
        overrides: Mapping[str, str] | None = None,
        die_with_parent: bool = False,
        runtime: Runtime | None = None,
    ) -> None:
        """A cluster whose files lie in `folder`. `overrides` are broker settings by their Kafka names.

        `die_with_parent`: the kernel kills the brokers when the thread that starts them ends (see `spawn`).
        """
        self.folder = folder
        self._size = brokers
        self._overrides = dict(overrides or {})
        self._die_with_parent = die_with_parent
        self._runtime = runtime or Runtime(heap_mb=heap_mb)
        self.brokers: tuple[Broker, ...] = ()

    @property
    def bootstrap_servers(self) -> str:
        """`host:port,...` for clients; empty before the first start."""
        return ",".join(broker.node.address for broker in self.brokers)

    def start(self, timeout: float = 60.0) -> Self:
        """Start all brokers and wait until each of them sees all of them serving. Raises BrokerError."""
        for attempt in range(START_ATTEMPTS):
            self._launch()
            try:
                self._wait_ready(timeout)
            except BrokerError as error:
                self.stop()
                # Between looking for a free port and listening on it, another process may take it.
                if attempt + 1 == START_ATTEMPTS or "Address already in use" not in str(error):
                    raise
            else:
                return self
        raise AssertionError("unreachable")

    def _launch(self) -> None:
        cluster_id, nodes = _identity(self.folder, self._size)
        self.brokers = tuple(
            Broker(
                self.folder / f"broker-{node.node_id}",
                node,
                nodes,
                cluster_id,
                runtime=self._runtime,
                overrides=self._overrides,
                die_with_parent=self._die_with_parent,
            )
            for node in nodes
        )
        for broker in self.brokers:
            broker.start()

    def _wait_ready(self, timeout: float) -> None:
        for broker in self.brokers:
            broker.wait_ready(timeout)

    def stop(self, grace: float = 15.0) -> None:
        """Orderly stop of all brokers, each killed after `grace` seconds."""
        # All are asked before any is waited for: the last one alone would wait in vain for a quorum.
        for broker in self.brokers:
            broker.terminate()
        for broker in self.brokers:
            broker.stop(grace)

    async def astart(self, timeout: float = 60.0) -> Self:
        """`start` for the event loop. The processes are made by the calling thread, only the waiting is elsewhere."""
        if self._die_with_parent:
            return self.start(timeout)
        return await asyncio.to_thread(self.start, timeout)

    async def astop(self, grace: float = 15.0) -> None:
        """`stop` for the event loop."""
        await asyncio.to_thread(self.stop, grace)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await self.astart()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.astop()


def _identity(folder: Path, size: int) -> tuple[str, list[NodePorts]]:
    """Cluster id and nodes kept in `folder`; ports are chosen anew where another process has taken one."""
    kept = folder / "cluster.json"
    known: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    cluster_id: str = known.get("cluster_id") or _new_cluster_id()
    nodes = [NodePorts(**node) for node in known.get("nodes", [])]
    if nodes and len(nodes) != size:
        raise BrokerError(f"{folder} holds a cluster of {len(nodes)} brokers, not {size}: choose another folder.")
    if not nodes or not all(is_free(port) for node in nodes for port in (node.client, node.controller)):
        ports = free_ports(2 * size)
        nodes = [NodePorts(i + 1, ports[2 * i], ports[2 * i + 1]) for i in range(size)]
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({"cluster_id": cluster_id, "nodes": [vars(node) for node in nodes]}))
    return cluster_id, nodes


def _new_cluster_id(make: Callable[[], uuid.UUID] = uuid.uuid4) -> str:
    """Kafka's form of a UUID: 22 URL-safe characters, the first not a dash (it would look like an option)."""
    while (text := base64.urlsafe_b64encode(make().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text
