"""What an operator may set for retraining. Environment: `TAILRACE_RETRAINING_RECIPES` and so on."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.language_models import DEFAULT_MODEL


class RetrainingSettings(BaseSettings):
    """Where data sets, recipes and adapters lie, what is trained, and on how many processes."""

    model_config = SettingsConfigDict(env_prefix="TAILRACE_RETRAINING_", frozen=True, extra="ignore")

    datasets: Path | None = None
    """Folder of the data sets, which feedback fills. None: `feedback/datasets` in the data folder."""
    models: Path | None = None
    """Folder of the adapters. None: `models` in the data folder."""
    runs: Path | None = None
    """Folder of trainings under way and done. None: `retraining/runs` in the data folder."""
    recipes: Path | None = None
    """Folder of YAML files, one for each recipe. None: the shipped ones (services/retraining/recipes)."""
    mlflow_uri: SecretStr | None = None
    """MLflow's server, e.g. `http://mlflow:5000`. None: SQLite in the next one."""
    registry_folder: Path | None = None
    """Folder of MLflow's SQLite file and artefacts. None: `mlflow` in the data folder."""
    base: str = DEFAULT_MODEL
    """The model that adapters are for, the one that inference serves: the embedded default, a folder or a hub id."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of each process. None: all cores, by torch's own count."""
    workers: int = Field(default=1, ge=1)
    """Processes that train together, by Ray Train; 1: one, without Ray."""
    ray_address: str | None = None
    """A Ray cluster for them, which must see the same folders. None: Ray on this machine, for as long as it takes."""
    progress_every: timedelta = Field(default=timedelta(seconds=5), gt=timedelta(0))
    """How often `training-progressed` is said, at most."""
    look: timedelta = Field(default=timedelta(seconds=30), gt=timedelta(0))
    """How often it is looked whether a recipe's time has come."""
    retry_for: timedelta = timedelta(days=7)
    """How long a training waits for a registry or a broker that is away."""
