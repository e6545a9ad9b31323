"""Retraining hears of data sets and requests, and says requests, progress and adapters.

The only place where its parts are made.
"""

from functools import partial
from pathlib import Path

from pydantic import SecretStr

from libs.datasets import Dataset, Datasets
from libs.model_registry import Adapters, registry_uri
from libs.service import Parts, Runtime, Service
from libs.settings import BusSettings, ServiceSettings
from schemas.training import TrainingRequested
from services.retraining.adapters.child import ChildTrainer
from services.retraining.adapters.recipe_files import read_recipes
from services.retraining.adapters.run_folder import RunFolder
from services.retraining.adapters.schedule import Schedule
from services.retraining.domain.job import Job, run_id_of
from services.retraining.domain.recipe import Recipe
from services.retraining.ports import Trainer
from services.retraining.routes import SAYS, routes
from services.retraining.settings import RetrainingSettings


def create_app(
    settings: RetrainingSettings | None = None,
    service_settings: ServiceSettings | None = None,
    bus_settings: BusSettings | None = None,
    trainer: Trainer | None = None,
) -> Service:
    """The service, described; nothing is opened before it runs. `trainer`: in place of processes of its own."""
    chosen = settings or RetrainingSettings()
    shared = service_settings or ServiceSettings()

    def build(runtime: Runtime) -> Parts:
        data = runtime.settings.data_dir
        datasets = Datasets(chosen.datasets or data / "feedback" / "datasets")
        adapters = Adapters(chosen.models or data / "models")
        memory = RunFolder((chosen.runs or data / "retraining" / "runs").absolute())
        recipes = read_recipes(chosen.recipes)
        schedule = Schedule(runtime.bus, tuple(recipes.values()), datasets, memory, runtime.clock, look=chosen.look)
        registry = _registry(chosen, chosen.registry_folder or data / "mlflow")
        # Half of a stop's grace, so that it is over before the stop is.
        mine = trainer or ChildTrainer(memory.folder, registry, grace=runtime.settings.grace_seconds / 2)
        return Parts(
            routes=routes(
                recipes,
                datasets,
                memory,
                chosen.retry_for,
                trainer=mine,
                make_job=partial(_job, chosen, adapters, datasets.folder),
                adapter=adapters.open,
                progress_every=chosen.progress_every,
            ),
            emits=SAYS,
            resources=(schedule,) if runtime.settings.instance == 0 else (),
        )

    summary = "Data sets become trained adapters, and each says what it was made of."
    return Service("retraining", summary, shared, bus_settings or BusSettings(), build)


def _registry(settings: RetrainingSettings, folder: Path) -> SecretStr:
    chosen = settings.mlflow_uri.get_secret_value() if settings.mlflow_uri is not None else None
    return SecretStr(registry_uri(chosen, folder))


def _job(
    settings: RetrainingSettings,
    adapters: Adapters,
    datasets: Path,
    event: TrainingRequested,
    recipe: Recipe,
    dataset: Dataset,
) -> Job:
    """What a request comes to, now."""
    return Job(
        run_id=run_id_of(event.request_id),
        request_id=event.request_id,
        recipe=recipe,
        seed=event.seed if event.seed is not None else recipe.seed,
        dataset=dataset.name,
        datasets=datasets.absolute(),
        models=adapters.folder.absolute(),
        base=settings.base,
        workers=settings.workers,
        ray_address=settings.ray_address,
        device=settings.device,
        threads=settings.threads,
    )
