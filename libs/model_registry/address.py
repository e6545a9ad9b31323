"""Where the registry is. Loads no MLflow."""

from pathlib import Path


def registry_uri(chosen: str | None, folder: Path) -> str:
    """The address that was chosen, or else SQLite in that folder, which is made."""
    if chosen is not None:
        return chosen
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder.absolute() / 'mlflow.db'}"
