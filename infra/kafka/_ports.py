"""Free TCP ports on loopback that stay free for a restart: chosen below the range that outgoing connections take."""

import random
import socket

LOOPBACK = "127.0.0.1"
# Linux hands 32768 and up to outgoing connections; such a connection could sit on a stopped broker's port.
RANGE = (20_000, 32_000)


def free_ports(count: int, *, choose: random.Random | None = None) -> list[int]:
    """`count` different ports nobody listens on at this moment. Raises RuntimeError when none can be found."""
    choose = choose or random.SystemRandom()
    ports: set[int] = set()
    for _ in range(1_000):
        if len(ports) == count:
            return sorted(ports)
        port = choose.randrange(*RANGE)
        if is_free(port):
            ports.add(port)
    raise RuntimeError(
        f"No {count} free ports between {RANGE[0]} and {RANGE[1]} on {LOOPBACK}: too many servers running."
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # As servers do: a port whose old connections are still in TIME_WAIT can be listened on.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
