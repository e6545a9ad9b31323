"""A data set in, requests out; a request in, an adapter out."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from libs.bus import Context, Rejected, Retryable
from libs.clock import Seldom
from libs.datasets import Dataset, DatasetError, Datasets
from libs.model_registry import Adapter
from schemas.training import DatasetPublished, ModelTrained, TrainingProgressed, TrainingRequested
from services.retraining.domain.job import Ended, Job, Report, run_id_of
from services.retraining.domain.recipe import Recipe
from services.retraining.domain.selection import unseen
from services.retraining.ports import Memory, Trainer

Recipes = Mapping[str, Recipe]
MakeJob = Callable[[TrainingRequested, Recipe, Dataset], Job]


async def ask_for_trainings(
    event: DatasetPublished, *, recipes: Recipes, datasets: Datasets, memory: Memory
) -> tuple[TrainingRequested, ...]:
    """By every recipe for which the data set holds enough rows that its last training did not have."""
    due = [recipe for recipe in recipes.values() if recipe.when.rows > 0]
    return await asyncio.to_thread(_requests, event, due, datasets, memory) if due else ()


def _requests(
    event: DatasetPublished, due: list[Recipe], datasets: Datasets, memory: Memory
) -> tuple[TrainingRequested, ...]:
    try:
        dataset = datasets.open(event.name)
    except DatasetError as error:
        # The folder of another machine may lag behind its event.
        raise Retryable(str(error)) from error
    return tuple(_request(recipe, dataset, memory) for recipe in due if _enough(recipe, dataset, datasets, memory))


def _enough(recipe: Recipe, dataset: Dataset, datasets: Datasets, memory: Memory) -> bool:
    if memory.asked_for_rows(recipe.name) == dataset.name:
        # By this very rule, perhaps before a crash and before anybody heard: said again, it is the same request.
        return True
    rows = [row for row, _ in dataset.identified(recipe.method, "train")]
    return unseen(rows, rows_of(memory.asked(recipe.name), recipe, datasets)) >= recipe.when.rows


def rows_of(dataset: str | None, recipe: Recipe, datasets: Datasets) -> set[str]:
    """Ids of the rows that a training by this recipe would have had; none where the data set is gone."""
    try:
        found = datasets.open(dataset) if dataset is not None else None
    except DatasetError:
        return set()
    return {row for row, _ in found.identified(recipe.method, "train")} if found is not None else set()


def _request(recipe: Recipe, dataset: Dataset, memory: Memory) -> TrainingRequested:
    memory.note_asked(recipe.name, dataset.name, for_rows=True)
    return TrainingRequested(
        request_id=f"rows-{recipe.name}-{dataset.name[:32]}", recipe=recipe.name, dataset=dataset.name, reason="rows"
    )


async def train(
    event: TrainingRequested,
    *,
    context: Context,
    recipes: Recipes,
    datasets: Datasets,
    memory: Memory,
    trainer: Trainer,
    make_job: MakeJob,
    adapter: Callable[[str], Adapter],
    progress_every: timedelta,
) -> ModelTrained:
    """The adapter that comes of it. Raises Rejected where none can."""
    job = await asyncio.to_thread(_job, event, recipes, datasets, memory, make_job)
    told = _Told(job, context, progress_every)
    ended = Ended(refused="it ended without a word")
    async with aclosing(trainer.train(job)) as reports:
        async for said in reports:
            if isinstance(said, Ended):
                ended = said
            else:
                await told.tell(said)
    if ended.model is None:
        raise Rejected(ended.refused)
    return _trained(job, ended, await asyncio.to_thread(adapter, ended.model))


def _job(event: TrainingRequested, recipes: Recipes, datasets: Datasets, memory: Memory, make_job: MakeJob) -> Job:
    """The one that was fixed when it began, or a new one. Raises Rejected."""
    if (begun := memory.job(run_id_of(event.request_id))) is not None:
        return begun
    recipe = recipes.get(event.recipe)
    if recipe is None:
        raise Rejected(f'no recipe "{event.recipe}": there are {", ".join(sorted(recipes)) or "none"}')
    try:
        dataset = datasets.open(event.dataset or "latest")
    except DatasetError as error:
        raise Rejected(str(error)) from None
    return memory.begin(make_job(event, recipe, dataset))


class _Told:
    """Says how far it is, not too often."""

    def __init__(self, job: Job, context: Context, every: timedelta) -> None:
        self._job, self._context, self._seldom = job, context, Seldom(every)

    async def tell(self, report: Report) -> None:
        if not self._seldom.due(report.at_ms, anyway=report.status != "training"):
            return
        await self._context.emit(
            TrainingProgressed(
                run_id=self._job.run_id,
                request_id=self._job.request_id,
                recipe=self._job.recipe.name,
                dataset=self._job.dataset,
                status=report.status,
                step=report.step,
                steps=report.steps,
                metrics=report.metrics,
                at=datetime.fromtimestamp(report.at_ms / 1000, UTC),
            )
        )


def _trained(job: Job, ended: Ended, adapter: Adapter) -> ModelTrained:
    card = adapter.card
    return ModelTrained(
        model=adapter.name,
        version=ended.version,
        run_id=job.run_id,
        request_id=job.request_id,
        recipe=job.recipe.label,
        method=job.recipe.method,
        base=job.base,
        started_from=card.started_from,
        dataset=job.dataset,
        rows=card.trained.train,
        replayed=card.trained.replayed,
        seed=job.seed,
        steps=card.change.steps,
        metrics=card.change.metrics,
        trained_at=card.trained_at,
    )
