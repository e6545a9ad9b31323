"""Feedback hears prompts, answers, outcomes, judgements and erasures, and says examples and data sets.

The only place where its parts are made.
"""

from pathlib import Path

from libs.bus import MAX_EVENT_BYTES
from libs.datasets import Datasets, read_policy
from libs.service import Parts, Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from libs.telemetry import TelemetryObserver
from services.feedback.adapters.group_commit import GroupCommit
from services.feedback.adapters.masking import DetectedPersonalData
from services.feedback.adapters.opened import opened
from services.feedback.adapters.publisher import Publisher
from services.feedback.adapters.recorder import Recorder, Tools
from services.feedback.adapters.sql_store import SqlStore
from services.feedback.domain.judging import Rules
from services.feedback.domain.publishing import When
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
            resources=(opened(facts), recorder, intake, *_publishers(chosen, runtime)),
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


def _publishers(settings: FeedbackSettings, runtime: Runtime) -> tuple[Publisher, ...]:
    """One for all instances: the first has it. Raises BadPolicyError, ValueError."""
    if runtime.settings.instance > 0:
        return ()
    datasets = Datasets(settings.datasets or runtime.settings.data_dir / "feedback" / "datasets")
    policy = read_policy() if settings.policy is None else read_policy(settings.policy)
    when = When(settings.publish_after, settings.publish_cron, settings.publish_timezone)
    return (Publisher(runtime.bus, datasets, policy, when, runtime.clock, look=settings.publish_look),)


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
