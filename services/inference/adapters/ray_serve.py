"""Our own engine inside Ray Serve replicas, called by handle, streaming; no HTTP proxy, no dashboard.

Without an address, Ray runs on this machine for this service alone, on the loopback interface, and ends with it,
however it ends. With one, the service is a client of that cluster and removes its application when it leaves.
"""

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from libs.bus import Rejected, Retryable
from libs.language_models.generation import GenerationRequest
from libs.model_registry import AdapterError
from libs.ray_local import start_local_ray
from services.inference.adapters.ray_replica import NoAdapter, Refused, Replica
from services.inference.ports import Stream
from services.inference.settings import InferenceSettings

_APPLICATION = "tailrace"
_LOAD_SECONDS = 60
_QUIET = {"enable_access_log": False, "log_level": "ERROR"}


class RayEngine:
    """Starting loads the model in every replica: seconds to minutes. `adapters`: their folder, for every replica."""

    def __init__(self, settings: InferenceSettings, adapters: Path) -> None:
        self.models = (settings.model,)
        self._settings = settings
        self._adapters = adapters
        self._proven: set[str] = set()
        self._handle: Any = None
        self._ready = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        # Ray's own calls block for seconds.
        self._handle = await asyncio.to_thread(self._start)
        self._ready = True
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ready = False
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await asyncio.to_thread(self._stop)

    def ready(self) -> bool:
        return self._ready

    async def load(self, adapter: str) -> None:
        """By one replica. The others load it with the first request that names it, as does one that is started anew."""
        if adapter in self._proven:
            return
        if self._handle is None:
            raise Retryable("the engine is not started", code="engine_unavailable")
        try:
            async with asyncio.timeout(_LOAD_SECONDS):
                trouble = await self._handle.load.remote(adapter)
        except (RayError, RayServeException, TimeoutError) as error:
            raise Retryable(f"a model replica failed ({type(error).__name__})", code="engine_unavailable") from error
        if trouble is not None:
            raise AdapterError(trouble.message)
        self._proven.add(adapter)

    async def generate(self, request: GenerationRequest) -> Stream:
        if self._handle is None:
            raise Retryable("the engine is not started", code="engine_unavailable")
        response = self._handle.generate.options(stream=True).remote(request)
        try:
            async for piece in response:
                if isinstance(piece, Refused):
                    raise Rejected(piece.message, code="too_long" if piece.too_long else "invalid_request")
                if isinstance(piece, NoAdapter):
                    # Gone or damaged since it was loaded elsewhere: it has to prove itself again.
                    self._proven.discard(request.adapter or "")
                    raise Retryable(piece.message, code="engine_unavailable")
                yield piece
        except (RayError, RayServeException) as error:
            # A replica that died is replaced by Serve; the prompt may come again.
            self._ready = False
            raise Retryable(f"a model replica failed ({type(error).__name__})", code="engine_unavailable") from error
        finally:
            # Harmless when it is done; frees the slot when it is not.
            response.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1)
            try:
                async with asyncio.timeout(10):
                    self._ready = bool(await self._handle.ready.remote())
            except (RayError, RayServeException, TimeoutError):
                self._ready = False

    def _start(self) -> Any:
        _connect(self._settings.ray_address, self._settings.start_seconds)
        serve.start(proxy_location="Disabled", logging_config=_QUIET)
        deployment: Any = serve.deployment(
            Replica,
            num_replicas=self._settings.replicas,
            # The engine queues by lane; a queue before it would put batch work first come first served.
            max_ongoing_requests=4096,
            health_check_period_s=2,
            graceful_shutdown_timeout_s=2,
            ray_actor_options=_resources(self._settings),
            logging_config=_QUIET,
        )
        options, room = _engine_options(self._settings), self._settings.adapters_loaded
        application = deployment.bind(self._settings.model, options, self._adapters.absolute(), room)
        return serve.run(application, name=_APPLICATION, route_prefix=None)

    def _stop(self) -> None:
        with contextlib.suppress(RayError, RayServeException, ConnectionError):
            if self._settings.ray_address is None:
                serve.shutdown()  # type: ignore[no-untyped-call]
            else:
                serve.delete(_APPLICATION)
        ray.shutdown()


def _connect(address: str | None, start_seconds: float) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is not None:
        ray.init(address=address, **quiet)
        return
    start_local_ray(start_seconds, **quiet)


def _resources(settings: InferenceSettings) -> dict[str, float]:
    gpus = ray.cluster_resources().get("GPU", 0)  # type: ignore[no-untyped-call]
    wanted = settings.device == "cuda" or (settings.device == "auto" and gpus >= settings.replicas)
    local = settings.ray_address is None
    return {"num_cpus": 0 if local else 1, "num_gpus": 1 if wanted else 0}


def _engine_options(settings: InferenceSettings) -> dict[str, Any]:
    cores = os.cpu_count() or 1
    return {
        "slots": settings.slots,
        "reserved_slots": min(settings.reserved_slots, settings.slots - 1),
        "max_tokens": settings.max_tokens,
        "context_tokens": settings.context_tokens,
        "precision": settings.precision,
        "device": settings.device,
        # Ray gives its workers one OpenMP thread unless told otherwise.
        "threads": settings.threads or max(1, cores // settings.replicas),
    }
