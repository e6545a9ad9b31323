"""The broker's `server.properties`: small, quick to start, the same semantics as a production broker.

One node or several, each both broker and controller (KRaft combined mode). Pure: text in, text out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.kafka._ports import LOOPBACK
from schemas.topics import MAX_MESSAGE_BYTES


@dataclass(frozen=True)
class NodePorts:
    """Where one node listens on loopback: clients and other brokers, and the controllers' quorum."""

    node_id: int
    client: int
    controller: int

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"{LOOPBACK}:{self.client}"


def server_properties(node: NodePorts, nodes: Sequence[NodePorts], log_dir: Path, overrides: Mapping[str, str]) -> str:
    """Text of the properties file of `node` within the cluster `nodes`; `overrides` win."""
    properties = _addresses(node, nodes, log_dir) | _replication(len(nodes)) | _BEHAVIOUR | _SIZES | dict(overrides)
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def _addresses(node: NodePorts, nodes: Sequence[NodePorts], log_dir: Path) -> dict[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.node_id),
        "controller.quorum.voters": ",".join(f"{n.node_id}@{LOOPBACK}:{n.controller}" for n in nodes),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{node.address},CONTROLLER://{LOOPBACK}:{node.controller}",
        "advertised.listeners": f"PLAINTEXT://{node.address}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(log_dir),
    }


def _replication(nodes: int) -> dict[str, str]:
    replicas, in_sync = str(min(3, nodes)), str(2 if nodes >= 3 else 1)
    return {
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


_BEHAVIOUR = {
    # A mistyped topic name must be an error, not a new topic.
    "auto.create.topics.enable": "false",
    # Waiting for more members to join saves rebalances in a large group and costs three seconds in a small one.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "message.max.bytes": str(MAX_MESSAGE_BYTES),
    "replica.fetch.max.bytes": str(MAX_MESSAGE_BYTES),
    "socket.request.max.bytes": str(4 * MAX_MESSAGE_BYTES),
    # A broker killed and started again may serve only when the session of its former life has ended.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "controlled.shutdown.max.retries": "1",
}

_SIZES = {
    # 50 partitions by default: each is a folder and two indexes to open at start.
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    # The default of 128 MiB would be a third of the heap.
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.cleaner.threads": "1",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "num.recovery.threads.per.data.dir": "1",
}
