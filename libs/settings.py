"""Settings every service shares: where the broker is, who this instance is, where health listens, what is logged.

A service subclasses `ServiceSettings` with its own prefix for its own knobs; the shared ones are read from
`TAILRACE_*` whatever the subclass's prefix. Every default runs on a laptop. Knows nothing of any single service.
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def cache_dir() -> Path:
    """Folder shared by all clones for what is fetched or converted once: broker jars, models."""
    if explicit := os.environ.get("TAILRACE_CACHE"):
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tailrace"


class BusSettings(BaseSettings):
    """How to reach the broker. Environment: `TAILRACE_BOOTSTRAP_SERVERS` and so on."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_", frozen=True, extra="ignore")

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    topic_prefix: str = ""
    """Put before every topic and group name, so that several installations can share one cluster."""
    topic_partitions: int = Field(default=4, ge=1)
    """Partitions of every topic of the prompt path; they must be equal."""
    replication_factor: int = Field(default=1, ge=1)


class ServiceSettings(BaseSettings):
    """What every service process reads. Environment: `TAILRACE_HEALTH_PORT` and so on."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_", frozen=True, extra="ignore")

    instance: int = Field(default=0, ge=0)
    """Ordinal of this process among its service's instances; static membership and reply partitions use it."""
    health_host: str = "127.0.0.1"
    health_port: int = Field(default=0, ge=0, le=65535)
    """0 takes a free port; it is logged and written to `ready_file`."""
    ready_file: Path | None = None
    """Where the process writes `{"pid", "health_port", ...}` once it is ready, for supervisors."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    otlp_endpoint: str | None = None
    """OTLP/HTTP collector, e.g. `http://127.0.0.1:4318`. None: no export over the network."""
    trace_file: Path | None = None
    """Spans as JSON lines, for a laptop without a collector."""
    grace_seconds: float = Field(default=10.0, ge=0)
    """How long a stop waits for work in flight before it abandons it (it is then done again)."""
    data_dir: Path = Path(".tailrace/data")
    """Where embedded stores keep their files."""
