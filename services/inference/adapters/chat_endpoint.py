"""One endpoint that speaks OpenAI's chat completions, over HTTP: what it streams, which models it has, how it refuses.

aiohttp and not httpx: the latter's pool looks at every connection for every request (docs/experiments.md). Errors are
told by status and code only: a server's message may quote the prompt.
"""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from libs.bus import Rejected
from services.inference.settings import InferenceSettings

JSON = dict[str, Any]
Events = AsyncGenerator[JSON, None]
_CONNECT_SECONDS = 5
_LINE_BYTES = 1 << 20
"""No event of a stream is larger, or it is no such stream."""
_WRONG_REQUEST = {400, 413, 422}


class Away(Exception):  # noqa: N818
    """This endpoint does not serve now; another may."""


class Unloaded(Away):
    """This endpoint has not loaded the adapter; it may do well without."""


class ChatEndpoint:
    """Shares the session's connections with others. Its URL is that before `/chat/completions`."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._proxy = _proxy(url)

    @asynccontextmanager
    async def stream(self, body: Mapping[str, Any], *, adapter: bool) -> AsyncGenerator[Events, None]:
        """The answer's events. `adapter`: an adapter is asked for, and whoever does not know it is at fault.

        Raises Away, also amid the stream; Rejected for a request that is wrong.
        """
        try:
            async with self._request("POST", "/chat/completions", json=body) as response:
                if response.status != 200:
                    _refuse(response.status, _code(await response.read()), adapter=adapter)
                events = _parsed(response.content)
                try:
                    yield events
                finally:
                    await events.aclose()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Away(type(error).__name__) from error

    async def models(self) -> set[str] | None:
        """What it has by its own list; None: it gives none."""
        try:
            async with self._request("GET", "/models", raise_for_status=True) as answer:
                return {str(model["id"]) for model in (await answer.json(content_type=None))["data"]}
        except (aiohttp.ClientError, TimeoutError, ValueError, TypeError, KeyError):
            return None

    def _request(self, method: str, path: str, **more: Any) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._session.request(method, self._url + path, proxy=self._proxy, allow_redirects=False, **more)


def connect(settings: InferenceSettings) -> aiohttp.ClientSession:
    """Connections without limit: how much is under way at once is decided elsewhere."""
    key = settings.api_key
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"authorization": f"Bearer {key.get_secret_value()}"} if key else {},
        timeout=aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS, sock_read=settings.timeout_seconds),
    )


def _proxy(url: str) -> str | None:
    """As the environment tells (`HTTPS_PROXY`, `NO_PROXY`); aiohttp would ask it in a thread for every request."""
    address = urlsplit(url)
    return None if proxy_bypass(address.hostname or "") else getproxies().get(address.scheme)


async def _parsed(content: aiohttp.StreamReader) -> Events:
    """Server-sent events as JSON objects. Raises Away for an error in mid-stream or for what is no JSON."""
    async for line in _lines(content):
        if not line.startswith(b"data:") or (data := line[5:].strip()) == b"[DONE]":
            continue
        try:
            event = json.loads(data)
        except ValueError:
            raise Away("the stream holds no JSON") from None
        if not isinstance(event, dict):
            raise Away("the stream holds no objects")
        if "error" in event:
            raise Away("an error in the stream")
        yield event


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    rest = b""
    async for piece in content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _LINE_BYTES:
            raise Away("the stream has no lines")
        for line in lines:
            yield line
    yield rest


def _refuse(status: int, code: str, *, adapter: bool) -> None:
    """Raises what the status calls for."""
    if status == 404 and adapter:
        raise Unloaded("it has no model of the adapter's name")
    if status in _WRONG_REQUEST:
        too_long = code == "context_length_exceeded" or status == 413
        raise Rejected(
            f"the model's endpoint refuses the request (HTTP {status}, {code or 'no code'}): "
            "check messages, parameters and length",
            code="too_long" if too_long else "invalid_request",
        )
    if status == 404 and code == "model_not_found":
        raise Rejected("the endpoint does not serve this model", code="unknown_model")
    raise Away(f"HTTP {status} {code}".strip())


def _code(body: bytes) -> str:
    try:
        error = json.loads(body).get("error") or {}
        return str(error.get("code") or error.get("type") or "")[:64]
    except (ValueError, AttributeError):
        return ""
