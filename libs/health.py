"""Liveness, readiness and metrics over HTTP, and uvicorn run inside a service's own loop.

`/live` answers 200 while the process can serve at all; `/ready` 200 once every check says so, else 503 with the
names of those that do not; `/metrics` is Prometheus text. Knows no service.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from libs.telemetry.metrics import prometheus_text

Check = Callable[[], bool]
Scope = MutableMapping[str, Any]
ASGIApp = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class _Server(uvicorn.Server):
    """A server that leaves signals to the process that embeds it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def free_socket(host: str, port: int) -> socket.socket:
    """A bound listening socket; port 0 takes a free one. Raises OSError with the address when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    # From here on the kernel keeps callers waiting; none is turned away while the server starts.
    listener.listen(1024)
    return listener


@asynccontextmanager
async def serving(app: Any, host: str, port: int, *, grace_seconds: float = 5.0) -> AsyncIterator[int]:
    """Serves an ASGI application while the block runs; yields the port. Open requests get the grace to end."""
    listener = free_socket(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=max(1, int(grace_seconds)),
        timeout_keep_alive=30,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        await task
        listener.close()


def health_app(live: Check, checks: MutableMapping[str, Check]) -> ASGIApp:
    """The ASGI application of the three paths."""

    async def app(scope: Scope, _: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        if scope["type"] != "http":
            return
        status, content_type, body = _answer(scope["path"], live, checks)
        headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def _answer(path: str, live: Check, checks: MutableMapping[str, Check]) -> tuple[int, bytes, bytes]:
    if path == "/metrics":
        return 200, b"text/plain; version=0.0.4; charset=utf-8", prometheus_text()
    if path == "/live":
        return (200 if live() else 503), b"application/json", json.dumps({"live": live()}).encode()
    if path == "/ready":
        waiting = [name for name, check in checks.items() if not check()]
        return (
            (503 if waiting else 200),
            b"application/json",
            json.dumps({"ready": not waiting, "waiting": waiting}).encode(),
        )
    return 404, b"application/json", b'{"error": "try /live, /ready or /metrics"}'
