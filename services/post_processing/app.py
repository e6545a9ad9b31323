"""Post-processing hears cleared completions, screened windows, refusals and failures; it says outcomes and replies.

The only place where its parts are made.
"""

from libs.clock import utc_now
from libs.sealing import Opener
from libs.service import Parts, Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from services.post_processing.adapters.outcome_log import BusOutcomeLog
from services.post_processing.memory import Finished
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
        finished = Finished(chosen)
        table = routes(
            finished,
            BusOutcomeLog(runtime.bus),
            Opener.from_key_file(chosen.seal_key_file),
            utc_now,
            runtime.metrics,
            chosen.wait_for_first,
        )
        return Parts(routes=table, memories=(finished,))

    return Service(
        "post_processing",
        "The end of the path: the only writer of outcomes and replies.",
        service_settings or ServiceSettings(),
        bus_settings or BusSettings(),
        build,
    )
