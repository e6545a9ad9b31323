"""What feedback hears. What it says follows from its store (adapters/recorder.py) and its examples (publisher.py)."""

from datetime import timedelta
from functools import partial

from libs.bus import Delivery, Route
from libs.clock import Clock
from libs.telemetry import Metrics
from schemas.base import Event
from schemas.completions import CompletionCleared
from schemas.feedback import ExampleRecorded, FeedbackSubmitted, SubjectErased
from schemas.prompts import PromptCleared
from schemas.responses import ResponseReady
from schemas.training import DatasetPublished
from services.feedback.handlers import note_answer, note_erasure, note_feedback, note_outcome, note_prompt
from services.feedback.ports import Intake

SAYS: tuple[type[Event], ...] = (ExampleRecorded, DatasetPublished)

_PATIENT = Delivery(retry_for=timedelta(days=3650), ordered=False, linger=timedelta(milliseconds=500))
"""While the store is away everything waits; nothing is given up for it. Facts need no order. They come in company and
share transactions: this service hears three records of every prompt, at the very time when the path is at work."""


def routes(intake: Intake, clock: Clock, metrics: Metrics) -> tuple[Route, ...]:
    """The table of topics."""
    return (
        Route(PromptCleared, partial(note_prompt, intake=intake), delivery=_PATIENT, overhears=True),
        Route(CompletionCleared, partial(note_answer, intake=intake), delivery=_PATIENT, overhears=True),
        Route(ResponseReady, partial(note_outcome, intake=intake), delivery=_PATIENT, overhears=True),
        Route(
            FeedbackSubmitted,
            partial(note_feedback, intake=intake, clock=clock, metrics=metrics),
            delivery=_PATIENT,
        ),
        Route(SubjectErased, partial(note_erasure, intake=intake), delivery=_PATIENT),
    )
