"""One job from its rows to a registered adapter. Each step may be done again."""

import math
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from libs.datasets import Dataset
from libs.files import write_whole
from libs.language_models import resolve_model
from libs.model_registry import Adapter, AdapterError, Adapters, Change, ModelCard, Trained
from libs.model_registry.base import base_of
from libs.model_registry.registry import Point, Registry
from services.retraining.domain.job import Ended, Job, Report, Start
from services.retraining.domain.selection import Selection
from services.retraining.training import checkpoints
from services.retraining.training.choosing import RefusedError, check_base, chosen_rows
from services.retraining.training.methods import METHODS, Ingredients
from services.retraining.training.reporting import JOURNAL, Reporting, Say, journal_of, telling, trained, writing_to
from services.retraining.training.rows import training_set, validation_set

LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate")
_ADAPTER = "adapter"


class StoppedError(Exception):
    """It was told to stop; what it has done is saved."""


def train_and_register(
    job: Job, registry_uri: str, folder: Path, pipe: int | None, stopped: Callable[[], bool]
) -> Ended:
    """The whole job. Raises RefusedError, StoppedError, RegistryError."""
    registry = Registry(registry_uri)
    start = _start(job, folder / "start.json", registry)
    dataset, selection = chosen_rows(job, start)
    lot = Lot(job, start, dataset, selection, folder / "work", folder / "work" / "rows")
    if not (folder / _ADAPTER).is_dir():
        train(lot, telling(pipe), stopped)
        (lot.work / _ADAPTER).rename(folder / _ADAPTER)
    journal = journal_of(folder / JOURNAL)
    adapter = Adapters(job.models).add(
        folder / _ADAPTER, job.recipe.name, lambda name, digest: card_of(lot, journal, name, digest)
    )
    version = _register(lot, registry, adapter, journal)
    shutil.rmtree(lot.work, ignore_errors=True)
    return Ended(model=adapter.name, version=version)


@dataclass(frozen=True)
class Lot:
    """A job with all that was looked up for it."""

    job: Job
    start: str | None
    """The adapter it starts from."""
    dataset: Dataset
    selection: Selection
    work: Path
    """Folder for what is not needed afterwards, in that of the training."""
    rows: Path
    """Folder for the rows."""


def _start(job: Job, file: Path, registry: Registry) -> str | None:
    """The champion of the moment at which the training first began, where the recipe starts from it."""
    if not file.exists():
        champion = registry.named("champion") if job.recipe.start == "champion" else None
        try:
            if champion is not None:
                found = registry.fetch(champion, Adapters(job.models))
                check_base(champion, found.card.base, base_of(job.base))
        except AdapterError as error:
            raise RefusedError(f"the champion cannot be started from: {error}") from None
        write_whole(file, Start(adapter=champion).model_dump_json(), durable=True)
    return Start.model_validate_json(file.read_bytes()).adapter


def train(lot: Lot, say: Say, stopped: Callable[[], bool]) -> None:
    """Leaves the adapter in `work/adapter`. Raises RefusedError, StoppedError."""
    if lot.job.workers > 1:
        from services.retraining.training.distributed import train_on_many  # noqa: PLC0415

        train_on_many(lot, say)
        return
    write = writing_to(lot.work.parent / JOURNAL)

    def both(report: Report) -> None:
        write(report)
        say(report)

    train_here(lot, Reporting(both, stopped))
    if not (lot.work / _ADAPTER).is_dir():
        raise StoppedError


def train_here(lot: Lot, reporting: Reporting) -> None:
    """In this process, from the last whole checkpoint; nothing is left in `work/adapter` where it was stopped."""
    trainer = trainer_of(lot)
    trainer.add_callback(reporting)
    last = checkpoints.last_whole(lot.work / "checkpoints")
    result = trainer.train(resume_from_checkpoint=str(last) if last is not None else None)
    if reporting.was_stopped and trainer.state.global_step < trainer.state.max_steps:
        return
    metrics = {**_numbers(result.metrics), **_numbers(_validated(trainer))}
    if trainer.is_world_process_zero():
        _save(trainer, lot.work / _ADAPTER)
        reporting.say(trained(trainer.state, metrics))


def _validated(trainer: Trainer) -> dict[str, Any]:
    """What the rows held out say of the last step; asked for, where it has not been looked at."""
    if trainer.eval_dataset is None:
        return {}
    history: list[dict[str, Any]] = trainer.state.log_history
    step = trainer.state.global_step
    last = next((it for it in reversed(history) if it["step"] == step and "eval_loss" in it), None)
    found: dict[str, Any] = last if last is not None else trainer.evaluate()
    return {name: value for name, value in found.items() if name.startswith("eval_")}


def trainer_of(lot: Lot) -> Trainer:
    """TRL's trainer for this job, nothing done yet."""
    job = lot.job
    if job.threads is not None:
        torch.set_num_threads(job.threads)
    return METHODS[job.recipe.method](
        Ingredients(
            recipe=job.recipe,
            seed=job.seed,
            base=resolve_model(job.base),
            start=Adapters(job.models).open(lot.start).folder if lot.start is not None else None,
            train=training_set(lot.dataset, job.recipe.method, lot.selection, lot.rows),
            validation=validation_set(lot.dataset, job.recipe.method, lot.rows),
            checkpoints=lot.work / "checkpoints",
            device=device_of(job),
        )
    )


def device_of(job: Job) -> torch.device:
    """Where it is trained."""
    on_gpu = job.device == "cuda" or (job.device == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if on_gpu else "cpu")


def card_of(lot: Lot, journal: list[Report], name: str, digest: str) -> ModelCard:
    """The model card of what was trained."""
    job, dataset, selection = lot.job, lot.dataset, lot.selection
    started, end = journal[0], journal[-1]
    rows = dataset.manifest.rows.get(job.recipe.method, {})
    return ModelCard(
        name=name,
        digest=digest,
        run_id=job.run_id,
        request_id=job.request_id,
        recipe=job.recipe.label,
        method=job.recipe.method,
        rules=job.recipe.model_dump(mode="json"),
        base=base_of(job.base),
        started_from=lot.start,
        trained=Trained(
            dataset=dataset.name,
            policy=dataset.manifest.policy.label,
            train=len(selection.rows),
            replayed=selection.replayed,
            validation=rows.get("validation", 0),
        ),
        seed=job.seed,
        workers=job.workers,
        device=device_of(job).type,
        libraries={name: version(name) for name in LIBRARIES},
        change=Change(
            steps=end.step,
            epochs=end.metrics.get("epoch", 0.0),
            seconds=(end.at_ms - started.at_ms) / 1000,
            metrics=end.metrics,
        ),
        trained_at=datetime.fromtimestamp(end.at_ms / 1000, UTC),
    )


def _register(lot: Lot, registry: Registry, adapter: Adapter, journal: list[Report]) -> str:
    job = lot.job
    rules = {name: value for name, value in job.recipe.model_dump(mode="json").items() if not isinstance(value, dict)}
    params = {**rules, **{f"lora_{name}": value for name, value in job.recipe.lora.model_dump().items()}}
    tags = {"dataset": lot.dataset.name, "recipe": job.recipe.label, "base": job.base, "request": job.request_id}
    run = registry.begin(job.run_id, job.run_id, {**params, "seed": job.seed}, tags)
    registry.curve(run, [Point(it.step, it.at_ms, it.metrics) for it in journal if it.metrics])
    found = registry.register(adapter, run)
    registry.end(run, "FINISHED")
    return found.version


def _save(trainer: Trainer, folder: Path) -> None:
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    if not all(bool(torch.isfinite(it).all()) for name, it in model.named_parameters() if ".default." in name):
        raise RefusedError("the trained weights hold numbers that are not finite: lower the recipe's learning_rate")
    shutil.rmtree(folder, ignore_errors=True)
    scratch = folder.with_name(".saving")
    shutil.rmtree(scratch, ignore_errors=True)
    # TRL's frozen copy for the reference is no part of it.
    model.save_pretrained(scratch, selected_adapters=["default"])
    _sync(scratch.iterdir())
    scratch.rename(folder)


def _sync(files: Iterable[Path]) -> None:
    for file in files:
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    return {n: float(v) for n, v in metrics.items() if isinstance(v, int | float) and math.isfinite(v)}
