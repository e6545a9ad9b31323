"""Asks a broker, in Kafka's own protocol, which brokers the cluster has. Blocking, standard library only.

A fenced broker (started, but not yet taken in by the controllers) is not listed, so the answer says who can serve.
"""

import socket
import struct

METADATA, VERSION = 3, 1


def live_brokers(host: str, port: int, *, timeout: float = 2.0) -> set[int]:
    """Node ids of the brokers that serve, as `host:port` knows them. Raises OSError while it does not answer."""
    with socket.create_connection((host, port), timeout=timeout) as connection:
        # Header: API key, version, correlation id, no client id. Body: an empty list of topics.
        request = struct.pack(">hhihi", METADATA, VERSION, 0, -1, 0)
        connection.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", _exactly(connection, 4))
        return _node_ids(_exactly(connection, size))


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        if not (chunk := connection.recv(size - len(received))):
            raise ConnectionError("the broker closed the connection in the middle of its answer")
        received += chunk
    return received


def _node_ids(response: bytes) -> set[int]:
    """Metadata response v1: correlation id, then brokers of (node id, host, port, nullable rack)."""
    (count,) = struct.unpack_from(">i", response, 4)
    at, nodes = 8, set()
    for _ in range(count):
        node, host_length = struct.unpack_from(">ih", response, at)
        nodes.add(node)
        at += 6 + host_length + 4
        (rack_length,) = struct.unpack_from(">h", response, at)
        at += 2 + max(rack_length, 0)
    return nodes
