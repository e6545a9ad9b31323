"""Post-processing hears how prompts ended and says outcomes and replies.

The only place where its parts are made.
"""

from libs.service import Parts, Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from libs.telemetry import Metrics, get_logger
from services.post_processing.adapters.key_ring import KeyRing
from services.post_processing.memory import FinishedPrompts
from services.post_processing.routes import routes
from services.post_processing.settings import PostProcessingSettings


def create_app(
    settings: PostProcessingSettings | None = None,
    service_settings: ServiceSettings | None = None,
    bus_settings: BusSettings | None = None,
) -> Service:
    """The service, described; nothing is opened before it runs."""
    chosen = settings or PostProcessingSettings()

    def build(runtime: Runtime) -> Parts:
        finished = FinishedPrompts(
            window=chosen.remember_for, limit=chosen.remember_at_most, max_bytes=chosen.remember_bytes
        )
        seals = _seals(chosen, runtime.metrics)
        return Parts(routes=routes(finished, seals, runtime.clock, runtime.metrics), memories=(finished,))

    return Service(
        "post_processing",
        "Makes the one outcome of each prompt, in the form it was asked for.",
        service_settings or ServiceSettings(),
        bus_settings or BusSettings(),
        build,
    )


def _seals(settings: PostProcessingSettings, metrics: Metrics) -> KeyRing:
    log = get_logger("seals")

    def report(why: str) -> None:
        metrics.count("tailrace.sealed_boxes_unopened")
        log.error("sealed box not opened, placeholders left in", reason=why)

    return KeyRing(settings.seal_key_file, report=report)
