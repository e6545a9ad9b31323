"""What retraining hears and says."""

from datetime import timedelta
from functools import partial
from typing import Any

from libs.bus import Delivery, Route
from libs.datasets import Datasets
from schemas.base import Event
from schemas.training import DatasetPublished, ModelTrained, TrainingProgressed, TrainingRequested
from services.retraining.handlers import Recipes, ask_for_trainings, train
from services.retraining.ports import Memory

SAYS: tuple[type[Event], ...] = (TrainingRequested,)
"""By the clock (adapters/schedule.py), beside what the routes return."""


def routes(
    recipes: Recipes, datasets: Datasets, memory: Memory, retry_for: timedelta, **training: Any
) -> tuple[Route, ...]:
    """The table of topics. `training`: what else `train` needs."""
    given: dict[str, Any] = {"recipes": recipes, "datasets": datasets, "memory": memory}
    return (
        Route(
            DatasetPublished,
            partial(ask_for_trainings, **given),
            emits=(TrainingRequested,),
            delivery=Delivery(in_flight=8, retry_for=retry_for),
        ),
        Route(
            TrainingRequested,
            partial(train, **given, **training),
            emits=(ModelTrained, TrainingProgressed),
            # One at a time: it takes all of the machine.
            delivery=Delivery(in_flight=1, retry_for=retry_for),
        ),
    )
