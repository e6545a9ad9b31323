"""What post-processing hears and says."""

from datetime import timedelta
from functools import partial

from libs.bus import Delivery, Route
from libs.clock import Clock
from libs.telemetry import Metrics
from schemas.completions import CompletionChunkCleared, CompletionCleared
from schemas.prompts import PromptFailed, PromptRefused, PromptRepeated
from schemas.responses import Reply, ResponseReady
from services.post_processing.handlers import (
    answer_repeated,
    finish_completion,
    finish_failed,
    finish_refused,
    forward_window,
)
from services.post_processing.memory import Finished
from services.post_processing.ports import Opener, OutcomeLog

WAITING = Delivery(ordered=False)
"""Whoever asked again waits for the first outcome, which may be his own conversation's next."""


def routes(
    finished: Finished, log: OutcomeLog, opener: Opener, clock: Clock, metrics: Metrics, patience: timedelta
) -> tuple[Route, ...]:
    """The table of topics."""
    return (
        Route(
            CompletionCleared,
            partial(finish_completion, finished=finished, log=log, opener=opener, clock=clock, metrics=metrics),
            emits=(ResponseReady, Reply),
        ),
        Route(
            PromptRefused,
            partial(finish_refused, finished=finished, log=log, clock=clock, metrics=metrics),
            emits=(ResponseReady, Reply),
        ),
        Route(
            PromptFailed,
            partial(finish_failed, finished=finished, log=log, clock=clock, metrics=metrics),
            emits=(ResponseReady, Reply),
        ),
        Route(
            PromptRepeated,
            partial(answer_repeated, finished=finished, log=log, clock=clock, patience=patience),
            emits=(Reply,),
            delivery=WAITING,
        ),
        Route(CompletionChunkCleared, partial(forward_window, opener=opener, metrics=metrics), emits=(Reply,)),
    )
