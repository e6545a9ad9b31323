"""The broker's settings as text, its health answer as bytes, and the ports it takes."""

import random
import socket
import struct
import threading
from pathlib import Path

import pytest

from infra.kafka import free_ports
from infra.kafka._health import live_brokers
from infra.kafka._ports import LOOPBACK, is_free
from infra.kafka._properties import NodePorts, server_properties

NODES = [NodePorts(number, 20_000 + number, 21_000 + number) for number in (1, 2, 3)]


def parsed(nodes: list[NodePorts], **overrides: str) -> dict[str, str]:
    text = server_properties(nodes[0], nodes, Path("/data"), {k.replace("_", "."): v for k, v in overrides.items()})
    return dict(line.split("=", 1) for line in text.splitlines())


def test_one_broker_replicates_to_itself_alone() -> None:
    found = parsed(NODES[:1])
    assert found["offsets.topic.replication.factor"] == found["min.insync.replicas"] == "1"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:21001"


def test_three_brokers_keep_three_copies_and_wait_for_two() -> None:
    found = parsed(NODES)
    assert {found[f"{name}.replication.factor"] for name in ("default", "offsets.topic", "transaction.state.log")} == {
        "3"
    }
    assert found["min.insync.replicas"] == found["transaction.state.log.min.isr"] == "2"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:21001,2@127.0.0.1:21002,3@127.0.0.1:21003"


def test_every_listener_is_on_loopback() -> None:
    found = parsed(NODES)
    assert found["listeners"] == "PLAINTEXT://127.0.0.1:20001,CONTROLLER://127.0.0.1:21001"
    assert found["advertised.listeners"] == "PLAINTEXT://127.0.0.1:20001"


def test_overrides_win() -> None:
    assert parsed(NODES, auto_create_topics_enable="true")["auto.create.topics.enable"] == "true"
    assert parsed(NODES)["auto.create.topics.enable"] == "false"


def test_ports_differ_and_lie_below_those_of_outgoing_connections() -> None:
    ports = free_ports(6)
    assert len(set(ports)) == 6
    assert all(20_000 <= port < 32_000 for port in ports)


def test_a_port_in_use_is_not_offered() -> None:
    [port] = free_ports(1, choose=random.Random(7))
    with socket.create_server((LOOPBACK, port)):
        assert not is_free(port)
        assert free_ports(1, choose=random.Random(7)) != [port]


def metadata(*brokers: tuple[int, str | None]) -> bytes:
    """A metadata response v1 of brokers with these node ids and racks."""
    body = struct.pack(">ii", 0, len(brokers))
    for node, rack in brokers:
        body += struct.pack(">ih", node, 9) + b"127.0.0.1" + struct.pack(">i", 9092)
        body += struct.pack(">h", -1) if rack is None else struct.pack(">h", len(rack)) + rack.encode()
    return struct.pack(">i", len(body)) + body


def asked(answer: bytes) -> set[int]:
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            return live_brokers(*server.getsockname())
        finally:
            serving.join()


@pytest.mark.parametrize(
    "brokers", [(), ((1, None),), ((1, None), (2, None), (3, None)), ((1, "rack-a"), (7, None), (9, ""))]
)
def test_health_reads_every_broker_of_the_answer(brokers: tuple[tuple[int, str | None], ...]) -> None:
    assert asked(metadata(*brokers)) == {node for node, _ in brokers}


def test_an_answer_cut_short_is_no_answer() -> None:
    with pytest.raises(ConnectionError, match="in the middle of its answer"):
        asked(metadata((1, None))[:-3])
