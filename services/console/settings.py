"""Where the console finds a Tailrace that it did not start. Environment: `TAILRACE_CONSOLE_GATEWAY` and so on."""

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ConsoleSettings(BaseSettings):
    """Unset: the local stack's own."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_CONSOLE_", frozen=True, extra="ignore")

    gateway: str | None = None
    """Address of a gateway, e.g. `http://127.0.0.1:8080`."""
    api_key: SecretStr | None = None
    datasets: Path | None = None
    """Folder of the data sets."""
    models: Path | None = None
    """Folder of the adapters, and of what serves."""
    examinations: Path | None = None
    """Folder of verdicts and their reports."""
