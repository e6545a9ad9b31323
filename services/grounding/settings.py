"""What an operator may set for grounding. Environment: `TAILRACE_GROUNDING_MIN_SCORE` and so on."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.embeddings import DEFAULT_MODEL


class GroundingSettings(BaseSettings):
    """The index, the embedding model, what counts as a source, and how much of it a prompt may hold."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_GROUNDING_", frozen=True, extra="ignore")

    index: Literal["edge", "server", "memory"] = "edge"
    qdrant_url: str = "http://127.0.0.1:6333"
    qdrant_api_key: SecretStr | None = None
    qdrant_collection: str = "tailrace"
    """Beginning of the collection's name; the embedding model's name follows."""
    bm25_language: str = "english"
    """Stems and stop words of the documents' language. A new value needs a new index folder or collection."""

    embedding_model: str = DEFAULT_MODEL
    """`all-MiniLM-L6-v2`, `hashing`, or a sentence-transformers hub id or folder."""
    embedding_threads: int = Field(default=1, ge=1)
    """Of the embedding model in NumPy. Threads wait by spinning: beside other processes one is many times faster."""
    chunk_tokens: int = Field(default=200, ge=32)
    """Of the embedding model."""
    chunk_overlap_tokens: int = Field(default=20, ge=0)

    top_k: int = Field(default=4, ge=1, le=50)
    """Sources shown where a prompt names no number."""
    min_score: float = Field(default=0.4, ge=0, le=1)
    """What is less relevant is no source. See the service's README for how it was found."""

    template: str = "answer@1"
    plain_template: str = "chat@1"
    """Used where no source was found, or none was looked for."""
    template_folder: Path | None = None
    """More templates: files `name@version.jinja`."""
    tokenizer: str = "smollm2-135m-instruct"
    """Model name or path whose tokenizer counts."""
    context_tokens: int = Field(default=8192, ge=256)
    completion_tokens: int = Field(default=512, ge=1)
    """Kept free for the answer where the prompt does not say how long it may be."""

    history_tokens: int = Field(default=1024, ge=0)
    """0: no conversation history."""
    history_turns: int = Field(default=32, ge=1)
    history_bytes: int = Field(default=32_000_000, ge=1)
    """Characters of text kept per partition."""
    history_age: timedelta = timedelta(hours=24)
