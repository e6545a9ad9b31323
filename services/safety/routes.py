"""What safety hears and says."""

from datetime import timedelta
from functools import partial

from libs.bus import Delivery, Route
from libs.clock import Clock
from libs.sealing import Sealer
from libs.telemetry import Metrics
from schemas.completions import CompletionChunk, CompletionChunkCleared, CompletionCleared, CompletionGenerated
from schemas.prompts import PromptCleared, PromptFailed, PromptGrounded, PromptRefused
from services.safety._metrics import measured
from services.safety.handlers import clear_chunk, clear_completion, clear_prompt
from services.safety.ports import Detectors, Policies

PATIENT = Delivery(retry_for=timedelta(hours=1))
"""While no policy is known, prompts wait: the gate is shut, and an operator needs time to open it."""


def routes(
    policies: Policies, detectors: Detectors, sealer: Sealer, clock: Clock, metrics: Metrics
) -> tuple[Route, ...]:
    """The table of topics."""
    known = {"policies": policies, "detectors": detectors}
    return (
        Route(
            PromptGrounded,
            partial(measured(clear_prompt, metrics), **known, sealer=sealer, clock=clock),
            emits=(PromptCleared, PromptRefused, PromptFailed),
            delivery=PATIENT,
        ),
        Route(
            CompletionGenerated,
            partial(measured(clear_completion, metrics), **known),
            emits=(CompletionCleared, PromptRefused),
            delivery=PATIENT,
        ),
        Route(
            CompletionChunk,
            partial(measured(clear_chunk, metrics), **known),
            emits=(CompletionChunkCleared,),
            delivery=Delivery(goes_first=True),
        ),
    )
