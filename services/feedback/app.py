"""Feedback hears prompts, answers, outcomes, judgements and erasures, and says examples.

The only place where its parts are made.
"""

from pathlib import Path

from libs.bus import MAX_EVENT_BYTES
from libs.service import Parts, Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from libs.telemetry import TelemetryObserver
from services.feedback.adapters.group_commit import GroupCommit
from services.feedback.adapters.masking import DetectedPersonalData
from services.feedback.adapters.opened import opened
from services.feedback.adapters.recorder import Recorder, Tools
from services.feedback.adapters.sql_store import SqlStore
from services.feedback.domain.judging import Rules
from services.feedback.ports import Store
from services.feedback.routes import SAYS, routes
from services.feedback.settings import FeedbackSettings


def create_app(
    settings: FeedbackSettings | None = None,
    service_settings: ServiceSettings | None = None,
    bus_settings: BusSettings | None = None,
    store: Store | None = None,
) -> Service:
    """The service, described; nothing is opened before it runs. `store`: in place of the one that the settings name."""
    chosen = settings or FeedbackSettings()
    shared = service_settings or ServiceSettings()

    def build(runtime: Runtime) -> Parts:
        facts = store or SqlStore(_url(chosen, runtime.settings))
        recorder = Recorder(_tools(chosen, facts, runtime), sweep_every=chosen.sweep_every)
        intake = GroupCommit(facts, runtime.clock, most=chosen.batch, written=recorder.wake)
        return Parts(
            routes=routes(intake, runtime.clock, runtime.metrics),
            emits=SAYS,
            resources=(opened(facts), recorder, intake),
            checks={"recorder": lambda: recorder.ready},
        )

    summary = "What people say of answers becomes examples, the same ones in whatever order it comes."
    return Service("feedback", summary, shared, bus_settings or BusSettings(), build)


def _tools(settings: FeedbackSettings, store: Store, runtime: Runtime) -> Tools:
    rules = Rules(
        wait=settings.wait_for,
        keep=settings.keep,
        keep_examples=settings.keep_examples,
        judgements=settings.max_judgements,
        room=MAX_EVENT_BYTES,
    )
    observer = TelemetryObserver("feedback", runtime.metrics, runtime.traces)
    return Tools(runtime.bus, store, DetectedPersonalData(), rules, runtime.clock, observer, runtime.metrics)


def _url(settings: FeedbackSettings, shared: ServiceSettings) -> str:
    """Raises ValueError where several instances would each have a database of their own."""
    if settings.store_url is not None:
        return settings.store_url.get_secret_value()
    if shared.instance > 0:
        raise ValueError(
            "SQLite serves one instance: for more, name a PostgreSQL database in TAILRACE_FEEDBACK_STORE_URL"
        )
    folder: Path = shared.data_dir / "feedback"
    return f"sqlite:///{folder.absolute() / 'feedback.db'}"
