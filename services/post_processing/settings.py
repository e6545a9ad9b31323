"""What an operator may set for post-processing. Environment: `TAILRACE_POST_PROCESSING_SEAL_KEY_FILE` and so on."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PostProcessingSettings(BaseSettings):
    """The key file, and how long finished prompts are remembered."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_POST_PROCESSING_", frozen=True, extra="ignore")

    seal_key_file: Path = Path(".tailrace/secrets/post-processing-seal-key.json")
    """Made by `libs.sealing.write_key_file`; the service does not start without one."""
    remember_for: timedelta = timedelta(hours=24)
    """How far back a finished prompt is known as finished."""
    remember_at_most: int = Field(default=100_000, ge=1)
    """Finished prompts kept per partition."""
    remember_bytes: int = Field(default=32 * 1024 * 1024, ge=0)
    """Outcomes kept for repeated prompts, per partition."""
