"""A Ray of our own on this machine: on the loopback interface only, gone with this process, patient with a busy start.

What Ray has no setting for is changed in its private parts, each place with its reason; a test watches the results.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import psutil
import ray
from ray._private import parameter as ray_parameter
from ray._private import ray_constants
from ray._private import services as ray_services
from ray.serve._private import replica as ray_replica

from libs.health import free_socket

_OBJECT_STORE_BYTES = 80 * 1024 * 1024
"""Ray's minimum is 75 MiB; nothing of ours goes through it but text."""
_LOOPBACK = "127.0.0.1"
_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
"""All that the node would otherwise wait for its helpers to choose."""


def start_local_ray(start_seconds: float, *, cpus: int = 1, **options: Any) -> None:
    """Starts Ray and connects to it. `cpus`: as many as its actors ask for. `options`: further ones of `ray.init`."""
    # Ray's one way to stay on the loopback interface; otherwise it replaces 127.0.0.1 by the machine's address
    # and listens on all of them. The variable is for Ray's own processes, the constant for this one.
    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False
    # After a kill, Ray's agents try so long to tell their head, which is gone as well, before they end (60 by default).
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "5")
    with _patience(start_seconds):
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            # Ray keeps an idle worker per CPU; serving's replicas ask for none, so one is enough.
            num_cpus=cpus,
            _node_ip_address=_LOOPBACK,
            _system_config={
                "agent_register_timeout_ms": int(start_seconds * 1000),
                "worker_register_timeout_seconds": int(start_seconds),
            },
            runtime_env={"worker_process_setup_hook": f"{__name__}.{stay_on_loopback.__name__}"},
            **options,
        )


def stay_on_loopback() -> None:
    """Run by Ray in each worker as it starts: a replica's own server would listen on every interface."""
    module: Any = ray_replica
    add_port = module.add_port_to_grpc_server
    module.add_port_to_grpc_server = lambda server, address: add_port(server, address.replace("[::]", _LOOPBACK))


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Lets a machine that is busy starting a whole stack take its time.

    Ray waits 30 s for its node, and crashes it when its helper processes have not chosen their ports after 15 s. No
    setting changes either, so the first wait is prolonged here while the node lives, and the ports are given.
    """
    services: Any = ray_services
    parameters: Any = ray_parameter
    get_node, params = services.get_node, parameters.RayParams

    def get_node_in_time(*arguments: Any) -> Any:
        until = time.monotonic() + seconds
        while True:
            try:
                return get_node(*arguments)
            except RuntimeError:
                if time.monotonic() > until or _node_has_died():
                    raise
                time.sleep(0.2)

    services.get_node = get_node_in_time
    parameters.RayParams = partial(params, **dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True)))
    try:
        yield
    finally:
        services.get_node, parameters.RayParams = get_node, params


def _node_has_died() -> bool:
    """Whether Ray's node process is only the zombie that Ray has not looked after yet."""
    with contextlib.suppress(psutil.Error):
        children = psutil.Process().children()
        return any(child.name() == "raylet" and child.status() == psutil.STATUS_ZOMBIE for child in children)
    return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(free_socket(_LOOPBACK, 0)) for _ in range(count)]
        return [int(listener.getsockname()[1]) for listener in listeners]
