"""The gateway serves HTTP, says prompt-submitted, prompt-cancelled and document-submitted, and hears its replies.

The only place where its parts are made.
"""

from uuid import uuid4

from libs.clock import utc_now
from libs.service import VERSION, Parts, Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from services.gateway._batches import batch_keeper, batch_operations, scheduler, storage
from services.gateway.adapters.bus_log import BusLog
from services.gateway.adapters.http import Dependencies, Edge, create_http
from services.gateway.adapters.http.batching import Batching
from services.gateway.adapters.http.body import BodyLimits
from services.gateway.adapters.http.conversation import Patience
from services.gateway.adapters.http.schedules_api import Schedules
from services.gateway.adapters.http_server import http_server
from services.gateway.adapters.key_file import KeyFile
from services.gateway.domain import Desk
from services.gateway.routes import HEARS, SAYS
from services.gateway.settings import GatewaySettings


def create_app(
    settings: GatewaySettings | None = None,
    service_settings: ServiceSettings | None = None,
    bus_settings: BusSettings | None = None,
) -> Service:
    """The service, described; nothing is opened before it runs."""
    chosen = settings or GatewaySettings()

    def build(runtime: Runtime) -> Parts:
        return _build(chosen, runtime)

    return Service(
        "gateway",
        "HTTP as OpenAI speaks it, in front of the bus: one more upstream.",
        service_settings or ServiceSettings(),
        bus_settings or BusSettings(),
        build,
    )


def _build(settings: GatewaySettings, runtime: Runtime) -> Parts:
    desk, batch_desk = Desk(settings.max_pending), Desk(settings.batch_in_flight + settings.batch_jobs)
    log = BusLog(
        runtime.bus,
        desk,
        batch_desk,
        instance=runtime.settings.instance,
        publish_timeout=settings.publish_timeout,
        clock=utc_now,
        new_id=_new_id,
    )
    keys = KeyFile(settings.api_keys_file, every=settings.api_keys_reload)
    files, jobs = storage(settings, runtime)
    keeper = batch_keeper(settings, jobs, batch_desk, log)
    clockwork, schedules = scheduler(settings, runtime, files, jobs, keeper)
    batching = batch_operations(settings, files, jobs, keeper, _new_id)
    api = create_http(_dependencies(settings, runtime, desk, log, keys, batching, schedules), version=VERSION)
    edge = Edge(api, metrics=runtime.metrics, traces=runtime.traces, new_id=_new_id)
    ports: list[int] = []
    grace = runtime.settings.grace_seconds
    server = http_server(edge, settings.host, settings.port, desk, grace_seconds=grace, listening=ports.append)
    return Parts(
        reads=HEARS,
        emits=SAYS,
        resources=(keys, log, keeper, clockwork, server),
        checks={"replies": lambda: log.ready},
        ready_facts=lambda: {"url": f"http://{_named(settings.host)}:{ports[0]}"},
    )


def _dependencies(
    settings: GatewaySettings,
    runtime: Runtime,
    desk: Desk,
    log: BusLog,
    keys: KeyFile,
    batching: Batching,
    schedules: Schedules,
) -> Dependencies:
    return Dependencies(
        desk=desk,
        log=log,
        keys=keys,
        metrics=runtime.metrics,
        clock=utc_now,
        new_id=_new_id,
        models=settings.models,
        deadline=settings.request_timeout,
        patience=Patience(
            whole=settings.request_timeout + settings.outcome_grace,
            stream_hold=settings.stream_hold,
            keep_alive=settings.keep_alive,
        ),
        limits=BodyLimits(settings.max_body_bytes, settings.body_timeout),
        batching=batching,
        schedules=schedules,
    )


def _new_id() -> str:
    return uuid4().hex


def _named(host: str) -> str:
    return f"[{host}]" if ":" in host else host
