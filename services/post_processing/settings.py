"""What an operator may set. Environment: `TAILRACE_POST_PROCESSING_SEAL_KEY_FILE` and so on."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PostProcessingSettings(BaseSettings):
    """Where the private keys lie, and how long finished prompts are known as such."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_POST_PROCESSING_", frozen=True, extra="ignore")

    seal_key_file: Path = Path(".tailrace/secrets/seal-keys.json")
    """Private keys of sealed mappings, newest and older ones (rotation)."""
    remember_for: timedelta = timedelta(hours=24)
    """How long a finished prompt cannot be answered again."""
    remember_at_most: int = Field(default=200_000, ge=1)
    """Finished prompts known per partition."""
    wait_for_first: timedelta = timedelta(minutes=10)
    """How long whoever repeated an unfinished prompt is kept waiting for its outcome."""
