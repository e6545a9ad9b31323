"""One life of a real service in a process of its own, forked from one that has imported everything already."""

import asyncio
import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import uvloop
from opentelemetry.metrics import NoOpMeter
from sqlalchemy import Engine, event

from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from libs.processes import tied_to_parent
from libs.service import Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from libs.telemetry import Metrics, Traces, configure_logs
from services.evaluation.app import create_app as create_evaluation
from services.feedback.app import create_app as create_feedback
from services.gateway.app import create_app as create_gateway
from services.grounding.app import create_app as create_grounding
from services.inference.app import create_app as create_inference
from services.ingestion.app import create_app as create_ingestion
from services.post_processing.app import create_app as create_post_processing
from services.retraining.app import create_app as create_retraining
from services.safety.app import create_app as create_safety
from tests.support.faults.fate import Fate, jumping
from tests.support.faults.mortal_bus import MortalBus

CREATE: Mapping[str, Callable[[], Service]] = {
    "ingestion": create_ingestion,
    "grounding": create_grounding,
    "safety": create_safety,
    "inference": create_inference,
    "post_processing": create_post_processing,
    "gateway": create_gateway,
    "feedback": create_feedback,
    "retraining": create_retraining,
    "evaluation": create_evaluation,
}


@dataclass(frozen=True)
class Life:
    """Which service, with what settings, and what will happen to it."""

    service: str
    environ: Mapping[str, str]
    log: Path
    fate: Fate


def live(life: Life) -> None:
    """The whole process: until SIGTERM, or its fate."""
    _tie_to_parent()
    _speak_into(life.log)
    # A setting left over from another life would be one too many.
    for name in [name for name in os.environ if name.startswith("TAILRACE_")]:
        del os.environ[name]
    os.environ.update({**life.environ, **life.fate.environ})
    if (size := life.fate.largest_file) is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    if lag := life.fate.store_lag:
        event.listen(Engine, "commit", lambda _: time.sleep(lag))
    settings = ServiceSettings()
    configure_logs(life.service, settings.instance, "info")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(life, settings))


async def _run(life: Life, settings: ServiceSettings) -> None:
    client_id = f"{life.service}-{settings.instance}"
    ordinary = life.fate.dies is None and not life.fate.poll_pause
    bus = (
        KafkaBus(BusSettings(), client_id=client_id)
        if ordinary
        else MortalBus(BusSettings(), client_id=client_id, fate=life.fate)
    )
    clock = utc_now if life.fate.clock_seed is None else jumping(life.fate.clock_seed)
    try:
        await CREATE[life.service]().run_on(Runtime(bus, Metrics(NoOpMeter("faults")), Traces(None), settings, clock))
    finally:
        await bus.close()


def _tie_to_parent() -> None:
    """Nothing outlives the tests, whatever ends them."""
    if (tie := tied_to_parent()) is not None:
        tie()


def _speak_into(log: Path) -> None:
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
