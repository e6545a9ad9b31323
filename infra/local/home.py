"""The folder of one local stack, `.tailrace/` of the current directory: where logs, data, secrets and state lie."""

import os
from dataclasses import dataclass
from pathlib import Path


def default_home() -> Path:
    """`TAILRACE_HOME`, or `.tailrace` of the current directory."""
    return Path(os.environ.get("TAILRACE_HOME", ".tailrace")).absolute()


@dataclass(frozen=True)
class Home:
    """The places within a stack's folder."""

    folder: Path

    @property
    def options(self) -> Path:
        """What the supervisor was asked to run."""
        return self.folder / "options.json"

    @property
    def state(self) -> Path:
        """What the supervisor last knew."""
        return self.folder / "state.json"

    @property
    def lock(self) -> Path:
        """Held while `up` or `down` work."""
        return self.folder / "lock"

    @property
    def kafka(self) -> Path:
        """The broker's settings, log and records."""
        return self.folder / "kafka"

    @property
    def secrets(self) -> Path:
        """Keys; mode 0700."""
        return self.folder / "secrets"

    @property
    def api_key(self) -> Path:
        """The gateway key in clear, for `status --json`; mode 0600."""
        return self.secrets / "gateway-api-key"

    @property
    def api_keys(self) -> Path:
        """What the gateway reads: hashes only."""
        return self.secrets / "gateway-api-keys.json"

    @property
    def seal_key(self) -> Path:
        """Private keys of post_processing; mode 0600."""
        return self.secrets / "post-processing-seal-key.json"

    def log(self, name: str) -> Path:
        """Log of the supervisor or of an instance."""
        return self.folder / "logs" / f"{name}.log"

    def data(self, service: str, ordinal: int) -> Path:
        """What an instance's embedded stores keep."""
        return self.folder / "data" / f"{service}-{ordinal}"

    @property
    def datasets(self) -> Path:
        """Data sets made of feedback: one folder for the service and the console."""
        return self.folder / "data" / "feedback" / "datasets"

    @property
    def models(self) -> Path:
        """Trained adapters: one folder for the services and the console."""
        return self.folder / "data" / "models"

    @property
    def examinations(self) -> Path:
        """Verdicts on adapters, with their reports: for the service and the console."""
        return self.folder / "data" / "examinations"

    @property
    def registry(self) -> Path:
        """MLflow's SQLite file and artefacts, unless a server is named."""
        return self.folder / "data" / "mlflow"

    def ready(self, instance: str) -> Path:
        """The file an instance writes when it is ready."""
        return self.folder / "run" / f"{instance}.json"

    def make(self) -> None:
        """Create the folders."""
        for folder in ("logs", "data", "run"):
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
        self.secrets.mkdir(mode=0o700, exist_ok=True)
