"""What evaluation hears and says."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from libs.bus import Delivery, Route
from libs.clock import Clock
from libs.model_registry import Adapters, Champions
from schemas.evaluation import (
    EvaluationProgressed,
    EvaluationRequested,
    ModelEvaluated,
    ModelPromoted,
    ModelRolledBack,
    PromotionRequested,
)
from schemas.training import ModelTrained
from services.evaluation.domain.canary import Canary
from services.evaluation.handlers import ask_for_examination, change_what_serves, examine
from services.evaluation.ports import Memory


def routes(
    champions: Champions,
    adapters: Adapters,
    memory: Memory,
    clock: Clock,
    retry_for: timedelta,
    *,
    by_itself: bool,
    canaries: Mapping[str, Canary],
    **examining: Any,
) -> tuple[Route, ...]:
    """The table of topics. `by_itself`: whatever is trained is examined. `examining`: what else `examine` needs."""
    given: dict[str, Any] = {"champions": champions, "memory": memory, "clock": clock}
    asking = Route(
        ModelTrained,
        ask_for_examination,
        emits=(EvaluationRequested,),
        delivery=Delivery(in_flight=8, retry_for=retry_for),
    )
    return (
        *((asking,) if by_itself else ()),
        Route(
            EvaluationRequested,
            partial(examine, **given, **examining),
            emits=(ModelEvaluated, PromotionRequested, EvaluationProgressed),
            # One at a time: it takes all of the machine.
            delivery=Delivery(in_flight=1, retry_for=retry_for),
        ),
        Route(
            PromotionRequested,
            partial(change_what_serves, **given, adapters=adapters, canaries=canaries),
            emits=(ModelPromoted, ModelRolledBack, EvaluationRequested),
            # All have one key: in order, however many are under way.
            delivery=Delivery(in_flight=8, retry_for=retry_for),
        ),
    )
