"""What an operator may set for ingestion. Environment: `TAILRACE_INGESTION_MAX_CHARACTERS` and so on."""

from datetime import timedelta

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class IngestionSettings(BaseSettings):
    """Limits at the door, and how long prompt ids are remembered."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_INGESTION_", frozen=True, extra="ignore")

    max_characters: int = Field(default=64_000, ge=1)
    """Of all messages of a prompt together."""
    max_prompt_tokens: int = Field(default=6_000, ge=1)
    """Of all messages together, by the model's tokenizer."""
    max_completion_tokens: int = Field(default=2_048, ge=1)
    """The most a prompt may ask for."""
    max_document_bytes: int = Field(default=900_000, ge=1)
    tokenizer: str = "smollm2-135m-instruct"
    """Model name or path whose tokenizer counts."""
    remember_for: timedelta = timedelta(hours=24)
    """How long a prompt id is known as seen."""
    remember_at_most: int = Field(default=100_000, ge=1)
    """Prompt ids kept per partition."""
