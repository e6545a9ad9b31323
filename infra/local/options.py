"""What `up` shall run: which services, how many of each, and with what patience. Validated before anything starts."""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from infra.local.home import default_home
from schemas.topics import REPLY_PARTITIONS

SERVICES = (
    *("evaluation", "retraining", "feedback", "post_processing", "inference", "safety", "grounding", "ingestion"),
    "gateway",
)
"""The services, from the path's end to its beginning: readers are there before writers."""
ENGINES = ("transformers", "openai", "echo")


class ServiceSpec(BaseModel):
    """One service: how many processes of which command. An empty command means `python -m services.<name>`."""

    model_config = ConfigDict(frozen=True)

    name: str
    command: tuple[str, ...] = ()
    instances: int = Field(default=1, ge=1)
    environ: dict[str, str] = Field(default_factory=dict)

    @property
    def command_line(self) -> tuple[str, ...]:
        """What is executed."""
        return self.command or (sys.executable, "-m", f"services.{self.name}")


class UpOptions(BaseModel):
    """Everything the supervisor needs to know. Delays and graces in seconds."""

    model_config = ConfigDict(frozen=True)

    home: Path = Field(default_factory=default_home)
    services: tuple[ServiceSpec, ...] = tuple(ServiceSpec(name=name) for name in SERVICES)
    brokers: int = Field(default=1, ge=1)
    ready_timeout: float = 300.0
    """How long `up` waits until all are ready; loading a model from a cold disk takes its time."""
    failures: int = Field(default=3, ge=1)
    """`up` gives a service up after it ended so often without having been ready. The supervisor goes on trying."""
    restart_delay: float = 0.5
    restart_delay_limit: float = 30.0
    stable_after: float = 30.0
    """A process that ran this long had a good start: its next restart is quick again."""
    grace: float = 15.0
    """Between SIGTERM and SIGKILL; longer than the services' own grace."""

    def delay_after(self, short_lives: int) -> float:
        """Seconds to wait after so many short lives in a row: doubled each time, up to the limit."""
        return min(self.restart_delay_limit, self.restart_delay * 2.0 ** min(short_lives, 32))


def choose(
    *,
    only: Iterable[str] = (),
    scale: Mapping[str, int] | None = None,
    engine: str | None = None,
    home: Path | None = None,
) -> UpOptions:
    """Options from what an operator types. Raises ValueError that names what is unknown and what is known."""
    only, scale = tuple(only), dict(scale or {})
    _check_names((*only, *scale))
    if engine is not None and engine not in ENGINES:
        raise ValueError(f"No engine {engine!r}. Known: {', '.join(ENGINES)}.")
    if scale.get("gateway", 1) > REPLY_PARTITIONS:
        raise ValueError(f"gateway: at most {REPLY_PARTITIONS} instances, one for each partition of the topic reply.")
    if scale.get("feedback", 1) > 1 and "TAILRACE_FEEDBACK_STORE_URL" not in os.environ:
        raise ValueError("feedback: one instance on SQLite; for more, name a database in TAILRACE_FEEDBACK_STORE_URL.")
    wrong = [f"{name}={count}" for name, count in scale.items() if count < 1]
    if wrong:
        raise ValueError(f"--scale {' '.join(wrong)}: a service has at least one instance; use --only to leave it out.")
    environ = {"inference": {"TAILRACE_INFERENCE_ENGINE": engine}} if engine else {}
    specs = (
        ServiceSpec(name=name, instances=scale.get(name, 1), environ=environ.get(name, {}))
        for name in SERVICES
        if not only or name in only
    )
    return UpOptions(home=(home or default_home()).absolute(), services=tuple(specs))


def _check_names(names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in SERVICES]
    if unknown:
        raise ValueError(f"No service {', '.join(map(repr, unknown))}. Known: {', '.join(SERVICES)}.")
