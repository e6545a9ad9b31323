"""What an operator may set for the gateway. Environment: `TAILRACE_GATEWAY_PORT` and so on."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,255}$")]


class GatewaySettings(BaseSettings):
    """Where it listens, who may call, and how much and how long it lets callers wait."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_GATEWAY_", frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    """0 takes a free port; it is logged and written to the ready file as part of `url`."""
    api_keys_file: Path = Path(".tailrace/secrets/gateway-api-keys.json")
    """JSON: `[{"sha256", "tenant", "name"}]`, or the same list under `"keys"`. Hashes only, never keys."""
    api_keys_reload: timedelta = Field(default=timedelta(seconds=2), gt=timedelta(0))
    """How often the file is looked at for a change."""
    models: tuple[ModelName, ...] = Field(default=("smollm2-135m-instruct",), min_length=1)
    """Model ids a caller may name; the first is the installation's default."""
    request_timeout: timedelta = Field(default=timedelta(seconds=120), gt=timedelta(0))
    """The prompt's deadline, from its arrival on."""
    outcome_grace: timedelta = Field(default=timedelta(seconds=2), ge=timedelta(0))
    """How much longer than the deadline the gateway waits for the outcome that says why."""
    publish_timeout: timedelta = Field(default=timedelta(seconds=10), gt=timedelta(0))
    """How long the log may take to acknowledge a record."""
    max_pending: int = Field(default=256, ge=1)
    """Callers waiting for an outcome at one time; one more is told 429."""
    max_body_bytes: int = Field(default=1_000_000, ge=1_024)
    body_timeout: timedelta = Field(default=timedelta(seconds=30), gt=timedelta(0))
    """How long a caller may take to send a request's body."""
    stream_hold: timedelta = Field(default=timedelta(milliseconds=250), ge=timedelta(0))
    """A stream's first bytes wait so long for a quick refusal, which then has an HTTP status of its own."""
    keep_alive: timedelta = Field(default=timedelta(seconds=10), gt=timedelta(0))
    """A comment is sent into a stream that has been silent for so long."""

    batch_dir: Path | None = None
    """Where files and batch jobs are kept; None: `batches` under the data folder. Gateways behind one address
    share one folder."""
    batch_in_flight: int = Field(default=64, ge=1)
    """Prompts of batches under way at once, of all jobs of this gateway together."""
    batch_jobs: int = Field(default=8, ge=1)
    """Jobs under way at once; more wait."""
    batch_window: timedelta = Field(default=timedelta(hours=24), gt=timedelta(0))
    """How long a batch may take; what is not answered then is in its error file as `batch_expired`."""
    batch_look: timedelta = Field(default=timedelta(seconds=1), gt=timedelta(0))
    """How often a gateway looks for jobs that nobody runs, and whether its own were cancelled."""
    batch_farewell: timedelta = Field(default=timedelta(seconds=30), ge=timedelta(0))
    """How long a cancelled or expired job waits for the outcomes of what is in flight."""
    batch_ask_again: timedelta = Field(default=timedelta(minutes=10), gt=timedelta(0))
    """A prompt without an outcome for so long is published again, under the same id."""
    max_file_bytes: int = Field(default=200_000_000, ge=1_024)
    max_batch_lines: int = Field(default=50_000, ge=1)
    files_last: timedelta = Field(default=timedelta(days=30), gt=timedelta(0))
    """After that, files and ended jobs are removed."""
    schedules_file: Path | None = None
    """YAML: batches that are started by the clock. None: there are none."""
