"""What inference hears and says."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from libs.bus import Delivery, Route, View
from libs.clock import Clock
from libs.telemetry import Metrics
from schemas.completions import CompletionChunk, CompletionGenerated
from schemas.evaluation import ModelPromoted, ModelRolledBack
from schemas.prompts import PromptCancelled, PromptCleared, PromptFailed
from schemas.topics import topic_of
from services.inference.domain.cache import ExactCache
from services.inference.domain.underway import Underway
from services.inference.handlers import Defaults, cancel, follow, generate
from services.inference.memory import Finished
from services.inference.ports import Engine, Serving
from services.inference.settings import InferenceSettings


def routes(
    settings: InferenceSettings,
    engine: Engine,
    serving: Serving,
    cache: ExactCache,
    finished: Finished,
    clock: Clock,
    metrics: Metrics,
) -> tuple[Route, ...]:
    """The table of topics."""
    underway = Underway()
    defaults = Defaults(settings.max_tokens, settings.temperature, settings.repetition_penalty, settings.json_attempts)
    return (
        Route(
            PromptCleared,
            partial(
                generate,
                engine=engine,
                serving=serving,
                cache=cache,
                finished=finished,
                underway=underway,
                defaults=defaults,
                clock=clock,
                metrics=metrics,
            ),
            emits=(CompletionChunk, CompletionGenerated, PromptFailed),
            # More than the engine has slots: it decides itself who goes first.
            delivery=Delivery(in_flight=512, batch_in_flight=64, retry_for=settings.retry_for),
        ),
        Route(PromptCancelled, partial(cancel, underway=underway), delivery=Delivery(ordered=False)),
    )


def views(serving: Serving, positions: Callable[[str], Mapping[int, int]]) -> tuple[View[Any], ...]:
    """What serves, by the log. `positions`: how far each topic was read before the first prompt."""
    apply = partial(follow, serving=serving)
    return (
        View(ModelPromoted, apply, partial(positions, topic_of(ModelPromoted).name)),
        View(ModelRolledBack, apply, partial(positions, topic_of(ModelRolledBack).name)),
    )
