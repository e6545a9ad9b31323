"""What inference hears and says."""

from functools import partial

from libs.bus import Delivery, Route
from libs.clock import Clock
from libs.telemetry import Metrics
from schemas.completions import CompletionChunk, CompletionGenerated
from schemas.prompts import PromptCancelled, PromptCleared, PromptFailed
from services.inference.domain.cache import ExactCache
from services.inference.domain.underway import Underway
from services.inference.handlers import Defaults, cancel, generate
from services.inference.memory import Finished
from services.inference.ports import Engine
from services.inference.settings import InferenceSettings


def routes(
    settings: InferenceSettings, engine: Engine, cache: ExactCache, finished: Finished, clock: Clock, metrics: Metrics
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
