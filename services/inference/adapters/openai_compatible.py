"""Any endpoint that speaks OpenAI's chat completions over HTTP: vLLM, llama.cpp, hosted providers.

An adapter is asked for as a model of its name, which is how vLLM and others serve LoRA modules: whoever runs the
endpoint loads it there. Endpoints are tried in order; one that is away or busy rests while others work.
"""

import time
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, Self

import aiohttp

from libs.bus import Retryable
from libs.language_models.generation import Delta, Finished, FinishReason, GenerationRequest
from libs.model_registry import AdapterError
from services.inference.adapters.chat_endpoint import Away, ChatEndpoint, Unloaded, connect
from services.inference.ports import Stream
from services.inference.settings import InferenceSettings


class OpenAIEngine:
    """`now` is in seconds, monotonic."""

    def __init__(self, settings: InferenceSettings, *, now: Callable[[], float] = time.monotonic) -> None:
        if not settings.endpoints:
            raise ValueError("the engine needs at least one endpoint: set TAILRACE_INFERENCE_ENDPOINTS")
        self.models = (settings.model, *settings.more_models)
        self._settings = settings
        self._now = now
        self._session: aiohttp.ClientSession | None = None
        self._endpoints: dict[str, ChatEndpoint] = {}
        self._rests_until = dict.fromkeys(settings.endpoints, 0.0)
        self._proven: set[str] = set()

    async def __aenter__(self) -> Self:
        session = self._session = connect(self._settings)
        self._endpoints = {url: ChatEndpoint(session, url) for url in self._settings.endpoints}
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
        self._session, self._endpoints = None, {}

    def ready(self) -> bool:
        return self._session is not None and any(self._rests_until[url] <= self._now() for url in self._rests_until)

    async def load(self, adapter: str) -> None:
        """Raises AdapterError where no endpoint lists a model of that name, Retryable where none answers."""
        if adapter in self._proven:
            return
        listed = [await endpoint.models() for endpoint in self._started()]
        if all(names is None for names in listed):
            raise Retryable("no endpoint says which models it has", code="engine_unavailable")
        if not any(adapter in names for names in listed if names is not None):
            raise AdapterError(f"no endpoint has a model of the name {adapter}: load the adapter there under its name")
        self._proven.add(adapter)

    async def generate(self, request: GenerationRequest) -> Stream:
        self._started()
        troubles: list[str] = []
        # Those that rest come last: better a try than a certain failure.
        for url in sorted(self._rests_until, key=lambda url: self._rests_until[url] > self._now()):
            begun = False
            try:
                async for piece in self._ask(self._endpoints[url], request):
                    begun = True
                    yield piece
            except Away as error:
                troubles.append(f"{url}: {error}")
                if isinstance(error, Unloaded):
                    self._proven.discard(request.adapter or "")
                    continue
                self._rests_until[url] = self._now() + self._settings.rest_seconds
                if begun:
                    # Text has been shown: another endpoint would begin anew.
                    break
            else:
                self._rests_until[url] = 0.0
                return
        raise Retryable(f"no endpoint answers ({'; '.join(troubles)})", code="engine_unavailable")

    def _started(self) -> Collection[ChatEndpoint]:
        if self._session is None:
            raise Retryable("the engine is not started", code="engine_unavailable")
        return self._endpoints.values()

    async def _ask(self, endpoint: ChatEndpoint, request: GenerationRequest) -> Stream:
        pieces, usage, reason = 0, None, None
        async with endpoint.stream(self._body(request), adapter=request.adapter is not None) as events:
            async for event in events:
                usage = event.get("usage") or usage
                for choice in event.get("choices") or ():
                    reason = choice.get("finish_reason") or reason
                    if text := (choice.get("delta") or {}).get("content"):
                        pieces += 1
                        yield Delta(text)
        if reason is None:
            raise Away("the stream broke off")
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
