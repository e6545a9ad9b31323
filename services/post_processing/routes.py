"""What post-processing hears and says."""

from functools import partial

from libs.bus import Delivery, Route
from libs.clock import Clock
from libs.telemetry import Metrics
from schemas.completions import CompletionChunkCleared, CompletionCleared
from schemas.prompts import PromptFailed, PromptRefused, PromptRepeated
from schemas.responses import Reply, ResponseReady, ResponseShadow
from services.post_processing._metrics import measured
from services.post_processing.handlers import finish, pass_on, repeat
from services.post_processing.memory import FinishedPrompts
from services.post_processing.ports import Seals


def routes(finished: FinishedPrompts, seals: Seals, clock: Clock, metrics: Metrics) -> tuple[Route, ...]:
    """The table of topics."""
    ending = partial(measured(finish, metrics), finished=finished, seals=seals, clock=clock)
    return (
        Route(CompletionCleared, ending, emits=(ResponseReady, ResponseShadow, Reply)),
        Route(PromptRefused, ending, emits=(ResponseReady, ResponseShadow, Reply)),
        Route(PromptFailed, ending, emits=(ResponseReady, ResponseShadow, Reply)),
        Route(PromptRepeated, partial(repeat, finished=finished, clock=clock), emits=(Reply,)),
        Route(
            CompletionChunkCleared,
            partial(pass_on, finished=finished, seals=seals),
            emits=(Reply,),
            delivery=Delivery(goes_first=True),
        ),
    )
