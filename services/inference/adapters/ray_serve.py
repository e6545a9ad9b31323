"""Our own engine inside Ray Serve replicas, called by handle, streaming; no HTTP proxy, no dashboard.

Without an address, Ray runs on this machine for this service alone, on the loopback interface, and ends with it,
however it ends. With one, the service is a client of that cluster and removes its application when it leaves.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Iterator
from functools import partial
from types import TracebackType
from typing import Any, Self

import ray
from ray import serve
from ray._private import parameter as ray_parameter
from ray._private import ray_constants
from ray._private import services as ray_services
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from libs.bus import Rejected, Retryable
from libs.health import free_socket
from libs.language_models.generation import GenerationRequest
from services.inference.adapters.ray_replica import Refused, Replica
from services.inference.ports import Stream
from services.inference.settings import InferenceSettings

_APPLICATION = "tailrace"
_QUIET = {"enable_access_log": False, "log_level": "ERROR"}
_OBJECT_STORE_BYTES = 80 * 1024 * 1024
"""Ray's minimum is 75 MiB; nothing of ours goes through it but text."""


class RayEngine:
    """Starting loads the model in every replica: seconds to minutes."""

    def __init__(self, settings: InferenceSettings) -> None:
        self.models = (settings.model,)
        self._settings = settings
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

    async def generate(self, request: GenerationRequest) -> Stream:
        if self._handle is None:
            raise Retryable("the engine is not started", code="engine_unavailable")
        response = self._handle.generate.options(stream=True).remote(request)
        try:
            async for piece in response:
                if isinstance(piece, Refused):
                    raise Rejected(piece.message, code="too_long" if piece.too_long else "invalid_request")
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
        application = deployment.bind(self._settings.model, _engine_options(self._settings))
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
    # Ray's one way to stay on the loopback interface; otherwise it replaces 127.0.0.1 by the machine's address
    # and listens on all of them. The variable is for Ray's own processes, the constant for this one.
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
    with _patience(start_seconds):
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            # Ray keeps an idle worker per CPU; replicas ask for none, so one is enough.
            num_cpus=1,
            _node_ip_address="127.0.0.1",
            _metrics_export_port=_free_ports(1)[0],
            _system_config={
                "agent_register_timeout_ms": int(start_seconds * 1000),
                "worker_register_timeout_seconds": int(start_seconds),
            },
            **quiet,
        )


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Lets a machine that is busy starting a whole stack take its time.

    Ray waits 30 s for its node, and crashes it when its helper processes have not chosen their ports after 15 s. No
    setting changes either, so the first wait is prolonged here, and the ports are given (one of them has an argument).
    """
    services: Any = ray_services
    parameters: Any = ray_parameter
    get_node, start_ray_process, params = services.get_node, services.start_ray_process, parameters.RayParams

    def get_node_in_time(*arguments: Any) -> Any:
        until = time.monotonic() + seconds
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def start_with_ports(command: list[str], process_type: str, *arguments: Any, **named: Any) -> Any:
        if process_type == ray_constants.PROCESS_TYPE_RAYLET:
            # Ray tells its agent which port to listen on, but not the raylet, which then waits to hear of it.
            command = [*command, f"--dashboard_agent_listen_port={ports['dashboard_agent_listen_port']}"]
        return start_ray_process(command, process_type, *arguments, **named)

    names = ("metrics_agent_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    services.get_node, services.start_ray_process = get_node_in_time, start_with_ports
    parameters.RayParams = partial(params, **ports)
    try:
        yield
    finally:
        services.get_node, services.start_ray_process, parameters.RayParams = get_node, start_ray_process, params


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(free_socket("127.0.0.1", 0)) for _ in range(count)]
        return [int(listener.getsockname()[1]) for listener in listeners]


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
