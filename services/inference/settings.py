"""What an operator may set for inference. Environment: `TAILRACE_INFERENCE_ENGINE` and so on."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class InferenceSettings(BaseSettings):
    """Which engine answers, with what defaults."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_INFERENCE_", frozen=True, extra="ignore")

    engine: Literal["transformers", "openai", "echo"] = "transformers"
    """`transformers`: our own engine inside Ray Serve replicas. `openai`: any OpenAI-compatible endpoint."""
    model: str = "smollm2-135m-instruct"
    """The embedded default, a folder or a hub id; with `openai`, the endpoint's own name of the model."""
    more_models: tuple[str, ...] = ()
    """With `openai`: further models of the endpoint that prompts may name."""
    adapters: Path | None = None
    """With `transformers`: folder of the adapters, which retraining fills. None: `models` in the data folder."""
    follow_promotions: bool = True
    """Whether promoted adapters serve. False: the bare model does, as where an endpoint has no adapters."""
    max_tokens: int = Field(default=256, ge=1)
    """New tokens where a prompt names no limit."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    """Where a prompt names none. 0 is greedy: the same prompt, the same answer."""
    repetition_penalty: float = Field(default=1.15, ge=1, le=2)
    """Keeps small models from going round in circles; 1 turns it off. Not sent to OpenAI-compatible endpoints."""
    cache_entries: int = Field(default=2_000, ge=0)
    """Answers kept by the exact cache; 0 turns it off."""
    cache_for: timedelta = timedelta(hours=1)
    json_attempts: int = Field(default=3, ge=1)
    """Tries at an answer that satisfies the JSON Schema asked for, each told what was wrong before."""
    remember_for: timedelta = timedelta(hours=24)
    """How far back finished prompts are known after a restart."""
    remember_at_most: int = Field(default=100_000, ge=1)
    retry_for: timedelta = timedelta(minutes=5)
    """How long a prompt waits for an engine that is away before its outcome says so."""

    # The engine `transformers`.
    ray_address: str | None = None
    """A Ray cluster, e.g. `ray://head:10001`. None: Ray on this machine, gone when the service is."""
    replicas: int = Field(default=1, ge=1)
    slots: int = Field(default=16, ge=1)
    """Generations at once in each replica."""
    reserved_slots: int = Field(default=2, ge=0)
    """Of these, slots that batch work never takes."""
    adapters_loaded: int = Field(default=4, ge=2)
    """Adapters kept in each replica's memory; for one more, the one not asked for longest goes."""
    context_tokens: int | None = Field(default=None, ge=16)
    precision: Literal["auto", "float32", "bfloat16", "float16", "int8"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of each replica; None: all cores shared among the replicas of this machine."""
    start_seconds: float = Field(default=600, gt=0)
    """How long the replicas may take to load the model."""

    # The engine `openai`.
    endpoints: tuple[str, ...] = ("http://127.0.0.1:8000/v1",)
    """Base URLs, tried in order; one that failed rests a while."""
    api_key: SecretStr | None = None
    timeout_seconds: float = Field(default=120, gt=0)
    """Longest wait for the next piece of an answer."""
    rest_seconds: float = Field(default=5, ge=0)
    """How long an endpoint that failed is left alone while others work."""

    # The engine `echo`.
    echo_token_seconds: float = Field(default=0, ge=0)
    """Pause before each token."""
