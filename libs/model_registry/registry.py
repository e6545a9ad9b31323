"""Trainings and registered adapters in MLflow: SQLite by default, a server by URL.

Each call may be made again after a crash and leads to the same: a training is found by its run id, a version by its
adapter's name. The registry keeps a copy of each adapter, so that a machine which lacks its folder can fetch it.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

# Before MLflow is imported: it would report its use over the network.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.entities import Metric, ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from libs.model_registry.adapters import Adapter, AdapterError, Adapters

Alias = Literal["candidate", "champion"]
_RUN, _ADAPTER, _LOGGED = "tailrace.run_id", "tailrace.adapter", "tailrace.points"
_ARTIFACTS = "adapter"
_AT_ONCE = 500
"""Metrics in one call; MLflow takes a thousand."""
_MISSING = "RESOURCE_DOES_NOT_EXIST"


class RegistryError(RuntimeError):
    """MLflow did not do what was asked, as where its server or database is away. Try again later."""


@dataclass(frozen=True, slots=True)
class Point:
    """Metrics at one step of a training."""

    step: int
    at_ms: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Version:
    """An adapter as it is registered."""

    version: str
    adapter: str
    run: str
    """MLflow's id of the training."""
    aliases: tuple[str, ...]


class Registry:
    """Of one registered model. All raise RegistryError.

    `uri`: e.g. `http://mlflow:5000` or `sqlite:////folder/mlflow.db`.
    """

    def __init__(self, uri: str, *, model: str = "tailrace", experiment: str = "tailrace") -> None:
        self._uri, self._model, self._experiment = uri, model, experiment
        with _told():
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def begin(self, run_id: str, name: str, params: Mapping[str, object], tags: Mapping[str, str]) -> str:
        """MLflow's id of this training, which is found or made."""
        with _told():
            experiment = self._experiment_id()
            found = self._client.search_runs([experiment], f"tags.`{_RUN}` = '{run_id}'", ViewType.ALL, max_results=1)
            if found:
                return str(found[0].info.run_id)
            made = self._client.create_run(experiment, tags={**tags, _RUN: run_id}, run_name=name)
            for key, value in params.items():
                self._client.log_param(made.info.run_id, key, value)
            return str(made.info.run_id)

    def curve(self, run: str, points: Sequence[Point]) -> None:
        """Writes those of all points so far that it does not have; after a crash, some may stand twice."""
        with _told():
            done = int(self._client.get_run(run).data.tags.get(_LOGGED, "0"))
            metrics = [Metric(n, v, p.at_ms, p.step) for p in points[done:] for n, v in p.metrics.items()]
            for start in range(0, len(metrics), _AT_ONCE):
                self._client.log_batch(run, metrics=metrics[start : start + _AT_ONCE])
            self._client.set_tag(run, _LOGGED, str(len(points)))

    def end(self, run: str, status: Literal["FINISHED", "FAILED"]) -> None:
        """The training is over."""
        with _told():
            self._client.set_terminated(run, status)

    def register(self, adapter: Adapter, run: str) -> Version:
        """The adapter's version, which is found or made; it is the candidate now."""
        with _told():
            known = next((it for it in self._found() if it.tags.get(_ADAPTER) == adapter.name), None)
            if known is None:
                self._client.log_artifacts(run, str(adapter.folder), _ARTIFACTS)
                self._model_exists()
                known = self._client.create_model_version(
                    self._model,
                    f"{self._client.get_run(run).info.artifact_uri}/{_ARTIFACTS}",
                    run,
                    tags={_ADAPTER: adapter.name, "dataset": adapter.card.trained.dataset},
                )
        self.point("candidate", adapter.name)
        return _version(known)

    def point(self, alias: Alias, adapter: str) -> None:
        """From now on the alias means that adapter."""
        version = self.version(adapter).version
        with _told():
            self._client.set_registered_model_alias(self._model, alias, version)

    def unpoint(self, alias: Alias) -> None:
        """The alias means nothing any more: without a champion, the bare base serves."""
        with _told():
            self._client.delete_registered_model_alias(self._model, alias)

    def note(self, adapter: str, metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Notes on a registered adapter: metrics with its training, tags with its version. Raises AdapterError."""
        version = self.version(adapter)
        with _told():
            for name, value in metrics.items():
                self._client.log_metric(version.run, name, value)
            for tag, told in tags.items():
                self._client.set_model_version_tag(self._model, version.version, tag, told)

    def named(self, alias: Alias) -> str | None:
        """The adapter that the alias means."""
        with _told():
            found = _if_there(lambda: self._client.get_model_version_by_alias(self._model, alias))
        return _version(found).adapter if found is not None else None

    def version(self, adapter: str) -> Version:
        """Raises AdapterError where it is not registered."""
        found = next((it for it in self.versions() if it.adapter == adapter), None)
        if found is None:
            raise AdapterError(f'no adapter "{adapter}" is registered')
        return found

    def versions(self) -> tuple[Version, ...]:
        """All of them, the oldest first."""
        with _told():
            found = sorted(self._found(), key=lambda it: int(it.version))
            model = _if_there(lambda: self._client.get_registered_model(self._model))
        aliases: Mapping[str, Any] = model.aliases if model is not None else {}
        by_version: dict[str, list[str]] = {}
        for alias, version in sorted(aliases.items()):
            by_version.setdefault(str(version), []).append(alias)
        return tuple(_version(it, tuple(by_version.get(str(it.version), ()))) for it in found)

    def fetch(self, adapter: str, adapters: Adapters) -> Adapter:
        """The adapter, from its folder or else from the registry's copy. Raises AdapterError where it is damaged."""
        try:
            if not (kept := adapters.open(adapter)).verify():
                return kept
        except AdapterError:
            pass
        version = self.version(adapter)
        with tempfile.TemporaryDirectory() as folder, _told():
            found = Path(self._client.download_artifacts(version.run, _ARTIFACTS, folder))
            copy = Adapter(found.rename(found.with_name(adapter)))
            if faults := copy.verify():
                raise AdapterError(f"the registry's copy of {adapter} is damaged: {'; '.join(faults)}")
            return adapters.add(copy.folder, adapter.rpartition("-")[0], lambda _name, _digest: copy.card)

    def _found(self) -> list[ModelVersion]:
        return list(self._client.search_model_versions(f"name = '{self._model}'"))

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(self._experiment, self._artifacts()))

    def _artifacts(self) -> str | None:
        """Beside SQLite's file; a server knows its own place."""
        path = self._uri.removeprefix("sqlite:///")
        return (Path(path).parent / "artifacts").absolute().as_uri() if path != self._uri else None

    def _model_exists(self) -> None:
        if _if_there(lambda: self._client.get_registered_model(self._model)) is None:
            self._client.create_registered_model(self._model)


def _version(found: ModelVersion, aliases: tuple[str, ...] = ()) -> Version:
    return Version(str(found.version), found.tags.get(_ADAPTER, ""), str(found.run_id), aliases)


def _if_there(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except MlflowException as error:
        # A server says INVALID_PARAMETER_VALUE of an alias that it does not know.
        if error.error_code in (_MISSING, "INVALID_PARAMETER_VALUE"):
            return None
        raise


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        # MLflow names the whole address, which may hold a password.
        said = re.sub(r"://[^/@\s]*@", "://", (str(error).splitlines() or [""])[0])
        raise RegistryError(f"the model registry: {type(error).__name__}: {said}") from error
