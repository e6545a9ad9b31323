"""Around every request: its id, its span, its metrics, its line in the access log, and an answer even to a bug.

Nothing of a body is logged, and of a bug only its type and place: its message may quote what was being worked on.
"""

import re
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.bus import Envelope
from libs.telemetry import Metrics, Traces, get_logger
from libs.telemetry.traces import ServerSpan
from services.gateway.adapters.http.errors import ApiError

_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}")
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"})
CALLER_LEFT = 499
"""Logged and counted where the caller closed the connection before the answer; nobody is sent it."""


class Edge:
    """The outermost ASGI application."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, traces: Traces, new_id: Callable[[], str]) -> None:
        self._app = app
        self._metrics = metrics
        self._traces = traces
        self._new_id = new_id
        self._access = get_logger("access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        exchange = _Exchange(scope, send, self._request_id(scope))
        method = scope["method"] if scope["method"] in _KNOWN_METHODS else "_OTHER"
        with self._traces.serving(method, _carrier(scope["headers"]), _attributes(scope, method)) as span:
            scope["state"] = {
                "request_id": exchange.request_id,
                "envelope": Envelope(exchange.request_id, span.traceparent, span.tracestate),
                "notes": exchange.notes,
            }
            await self._answer(exchange, receive)
            self._report(exchange, method, span)

    def _request_id(self, scope: Scope) -> str:
        given = [value for name, value in scope["headers"] if name == b"x-request-id"]
        if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]):
            return str(given[0].decode("ascii"))
        return f"req-{self._new_id()}"

    async def _answer(self, exchange: "_Exchange", receive: Receive) -> None:
        try:
            await self._app(exchange.scope, receive, exchange.send)
        except Exception as error:
            self._access.error("bug", request_id=exchange.request_id, error=type(error).__name__, where=_frames(error))
            if exchange.status is None:
                failure = ApiError(500, "internal_error", "the gateway failed; its log says where, by the request id")
                await failure.response()(exchange.scope, receive, exchange.send)

    def _report(self, exchange: "_Exchange", method: str, span: ServerSpan) -> None:
        status = exchange.status if exchange.status is not None else CALLER_LEFT
        if exchange.notes.get("left"):
            status = CALLER_LEFT
        route = getattr(exchange.scope.get("route"), "path_format", None)
        span.finish(route, status)
        seconds = time.perf_counter() - exchange.started
        attributes = {"http.request.method": method, "http.route": route or "none", "http.response.status_code": status}
        self._metrics.count("tailrace.http.requests", 1, attributes)
        self._metrics.record("tailrace.http.request.duration", seconds, attributes)
        self._access.info(
            "request",
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
            request_id=exchange.request_id,
            **exchange.notes,
        )


class _Exchange:
    """One request and what became of it."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self.scope = scope
        self.request_id = request_id
        self.status: int | None = None
        self.started = time.perf_counter()
        self.notes: dict[str, Any] = {}
        """More fields of the access log's line: tenant, prompt id, how the stream ended."""
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers()]
        await self._send(message)

    def _headers(self) -> Iterable[tuple[bytes, bytes]]:
        yield b"x-request-id", self.request_id.encode("ascii")
        if (prompt_id := self.notes.get("prompt_id")) is not None:
            yield b"x-tailrace-prompt-id", quote(prompt_id, safe="").encode("ascii")


def _carrier(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """W3C trace context. Two `traceparent`s are none; several `tracestate`s are one list."""
    parents = [value for name, value in headers if name == b"traceparent"]
    states = [value for name, value in headers if name == b"tracestate"]
    if len(parents) != 1:
        return {}
    carrier = {"traceparent": parents[0].decode("latin-1").strip()}
    if states:
        carrier["tracestate"] = ",".join(state.decode("latin-1") for state in states)
    return carrier


def _attributes(scope: Scope, method: str) -> dict[str, str | int]:
    host, port = scope.get("server") or ("", None)
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "url.scheme": scope["scheme"],
        "url.path": scope["path"],
        "server.address": host,
        "network.protocol.version": scope["http_version"],
    }
    if port is not None:
        attributes["server.port"] = port
    if scope.get("client"):
        attributes["client.address"] = scope["client"][0]
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), None)
    if agent is not None:
        attributes["user_agent.original"] = agent.decode("latin-1")
    return attributes


def _frames(error: BaseException) -> list[str]:
    frames, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_qualname}")
        trace = trace.tb_next
    return frames[-8:]
