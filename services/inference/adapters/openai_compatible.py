"""Any endpoint that speaks OpenAI's chat completions over HTTP: vLLM, llama.cpp, hosted providers.

An adapter is asked for as a model of its name, which is how vLLM and others serve LoRA modules: whoever runs the
endpoint loads it there. Endpoints are tried in order; one that is away or busy rests while others work. Errors are told
by status and code only: a server's message may quote the prompt.
"""

import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from libs.bus import Rejected, Retryable
from libs.language_models.generation import Delta, Finished, FinishReason, GenerationRequest
from libs.model_registry import AdapterError
from services.inference.ports import Stream
from services.inference.settings import InferenceSettings

_WRONG_REQUEST = {400, 413, 422}


class _Away(Exception):  # noqa: N818
    """This endpoint does not serve now; another may."""


class _Unloaded(_Away):
    """This endpoint has not loaded the adapter; it may do well without."""


class OpenAIEngine:
    """`transport` and `now` (seconds, monotonic) come in for tests."""

    def __init__(
        self,
        settings: InferenceSettings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if not settings.endpoints:
            raise ValueError("the engine needs at least one endpoint: set TAILRACE_INFERENCE_ENDPOINTS")
        self.models = (settings.model, *settings.more_models)
        self._settings = settings
        self._transport = transport
        self._now = now
        self._client: httpx.AsyncClient | None = None
        self._rests_until = dict.fromkeys(settings.endpoints, 0.0)
        self._proven: set[str] = set()

    async def __aenter__(self) -> Self:
        key = self._settings.api_key
        self._client = httpx.AsyncClient(
            transport=self._transport,
            headers={"authorization": f"Bearer {key.get_secret_value()}"} if key else {},
            timeout=httpx.Timeout(self._settings.timeout_seconds, connect=5),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.aclose()
        self._client = None

    def ready(self) -> bool:
        return self._client is not None and any(self._rests_until[url] <= self._now() for url in self._rests_until)

    async def load(self, adapter: str) -> None:
        """Raises AdapterError where no endpoint lists a model of that name, Retryable where none answers."""
        if adapter in self._proven:
            return
        if self._client is None:
            raise Retryable("the engine is not started", code="engine_unavailable")
        listed = [await _models(self._client, url) for url in self._rests_until]
        if all(names is None for names in listed):
            raise Retryable("no endpoint says which models it has", code="engine_unavailable")
        if not any(adapter in names for names in listed if names is not None):
            raise AdapterError(f"no endpoint has a model of the name {adapter}: load the adapter there under its name")
        self._proven.add(adapter)

    async def generate(self, request: GenerationRequest) -> Stream:
        if self._client is None:
            raise Retryable("the engine is not started", code="engine_unavailable")
        troubles: list[str] = []
        # Those that rest come last: better a try than a certain failure.
        for url in sorted(self._rests_until, key=lambda url: self._rests_until[url] > self._now()):
            begun = False
            try:
                async for piece in self._ask(self._client, url, request):
                    begun = True
                    yield piece
            except (_Away, httpx.HTTPError) as error:
                if isinstance(error, _Unloaded):
                    self._proven.discard(request.adapter or "")
                    troubles.append(f"{url}: {error}")
                    continue
                self._rests_until[url] = self._now() + self._settings.rest_seconds
                troubles.append(f"{url}: {error if isinstance(error, _Away) else type(error).__name__}")
                if begun:
                    # Text has been shown: another endpoint would begin anew.
                    break
            else:
                self._rests_until[url] = 0.0
                return
        raise Retryable(f"no endpoint answers ({'; '.join(troubles)})", code="engine_unavailable")

    async def _ask(self, client: httpx.AsyncClient, url: str, request: GenerationRequest) -> Stream:
        pieces, usage, reason = 0, None, None
        where = f"{url.rstrip('/')}/chat/completions"
        async with _events(client, where, self._body(request), adapter=request.adapter is not None) as events:
            async for event in events:
                usage = event.get("usage") or usage
                for choice in event.get("choices") or ():
                    reason = choice.get("finish_reason") or reason
                    if text := (choice.get("delta") or {}).get("content"):
                        pieces += 1
                        yield Delta(text)
        if reason is None:
            raise _Away("the stream broke off")
        usage = usage or {"prompt_tokens": 0, "completion_tokens": pieces}
        seed = request.seed if request.temperature > 0 else None
        end: FinishReason = "length" if reason == "length" else "stop"
        yield Finished(end, usage["prompt_tokens"], usage["completion_tokens"], seed)

    def _body(self, request: GenerationRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.adapter or request.model or self.models[0],
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        optional = {
            "max_completion_tokens": request.max_tokens,
            "seed": request.seed,
            "stop": list(request.stop) or None,
            "response_format": _response_format(request),
        }
        return body | {name: value for name, value in optional.items() if value is not None}


def _response_format(request: GenerationRequest) -> dict[str, Any] | None:
    if request.json_schema is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": dict(request.json_schema)}}


@asynccontextmanager
async def _events(
    client: httpx.AsyncClient, url: str, body: dict[str, Any], *, adapter: bool
) -> AsyncGenerator[AsyncGenerator[dict[str, Any], None], None]:
    async with client.stream("POST", url, json=body) as response:
        if response.status_code != httpx.codes.OK:
            _refuse(response.status_code, _code(await response.aread()), adapter=adapter)
        events = _parsed(response)
        try:
            yield events
        finally:
            await events.aclose()


async def _parsed(response: httpx.Response) -> AsyncGenerator[dict[str, Any], None]:
    """Server-sent events as JSON objects. Raises _Away for an error in mid-stream or for what is no JSON."""
    async for line in response.aiter_lines():
        if not line.startswith("data:") or (data := line[5:].strip()) == "[DONE]":
            continue
        try:
            event = json.loads(data)
        except ValueError:
            raise _Away("the stream holds no JSON") from None
        if "error" in event:
            raise _Away("an error in the stream")
        yield event


async def _models(client: httpx.AsyncClient, url: str) -> set[str] | None:
    """What an endpoint has by its own list; None: it gives none."""
    try:
        answer = await client.get(f"{url.rstrip('/')}/models")
        return {str(model["id"]) for model in answer.raise_for_status().json()["data"]}
    except (httpx.HTTPError, ValueError, TypeError, KeyError):
        return None


def _refuse(status: int, code: str, *, adapter: bool) -> None:
    """Raises what the status calls for. `adapter`: one was asked for; not to know it is the endpoint's fault."""
    if status == httpx.codes.NOT_FOUND and adapter:
        raise _Unloaded("it has no model of the adapter's name")
    if status in _WRONG_REQUEST:
        too_long = code == "context_length_exceeded" or status == httpx.codes.REQUEST_ENTITY_TOO_LARGE
        raise Rejected(
            f"the model's endpoint refuses the request (HTTP {status}, {code or 'no code'}): "
            "check messages, parameters and length",
            code="too_long" if too_long else "invalid_request",
        )
    if status == httpx.codes.NOT_FOUND and code == "model_not_found":
        raise Rejected("the endpoint does not serve this model", code="unknown_model")
    raise _Away(f"HTTP {status} {code}".strip())


def _code(body: bytes) -> str:
    try:
        error = json.loads(body).get("error") or {}
        return str(error.get("code") or error.get("type") or "")[:64]
    except (ValueError, AttributeError):
        return ""
