"""What an operator may set for evaluation. Environment: `TAILRACE_EVALUATION_GATES` and so on."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.language_models import DEFAULT_MODEL


class EvaluationSettings(BaseSettings):
    """Where data sets, adapters and gates lie, what is examined by itself, and how much of the machine it takes."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_EVALUATION_", frozen=True, extra="ignore")

    datasets: Path | None = None
    """Folder of the data sets, which feedback fills. None: `feedback/datasets` in the data folder."""
    models: Path | None = None
    """Folder of the adapters, and of what serves. None: `models` in the data folder."""
    reports: Path | None = None
    """Folder of examinations. None: `evaluation` in the data folder."""
    gates: Path | None = None
    """Folder of YAML files, one for each gate. None: the shipped one (services/evaluation/gates)."""
    canaries: Path | None = None
    """Folder of YAML files, one for each plan. None: the shipped one (services/evaluation/canaries)."""
    mlflow_uri: SecretStr | None = None
    """MLflow's server, e.g. `http://mlflow:5000`. None: SQLite in the next one."""
    registry_folder: Path | None = None
    """Folder of MLflow's SQLite file and artefacts. None: `mlflow` in the data folder."""
    base: str = DEFAULT_MODEL
    """The model that adapters are for, the one that inference serves."""
    by_itself: bool = True
    """Whatever is trained is examined, and promoted where it passes. Off: only when somebody asks."""
    documents: int = Field(default=100, ge=0)
    """Of the knowledge base, at most so many are read for questions on them; 0: no such questions."""
    judge_api_key: SecretStr | None = None
    """For a gate whose judge is a model behind an API."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    """CPU threads. None: all cores, by torch's own count."""
    progress_every: timedelta = Field(default=timedelta(seconds=5), gt=timedelta(0))
    """How often `evaluation-progressed` and `canary-progressed` are said, at most."""
    watch: timedelta = Field(default=timedelta(seconds=2), gt=timedelta(0))
    """How often it is looked how a candidate does on its share."""
    look: timedelta = Field(default=timedelta(seconds=10), gt=timedelta(0))
    """How often it is looked whether the registry knows what serves."""
    retry_for: timedelta = timedelta(days=7)
    """How long an examination waits for a registry or a data set that is away."""
