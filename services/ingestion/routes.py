"""What ingestion hears and says."""

from functools import partial

from libs.bus import OutputMemory, Route
from libs.clock import Clock
from libs.telemetry import Metrics
from schemas.documents import DocumentAccepted, DocumentRefused, DocumentSubmitted
from schemas.prompts import PromptAccepted, PromptFailed, PromptRefused, PromptRepeated, PromptSubmitted
from services.ingestion.domain import Limits
from services.ingestion.handlers import accept_document, accept_prompt
from services.ingestion.memory import Seen
from services.ingestion.ports import TokenCounter


def routes(
    limits: Limits,
    tokens: TokenCounter,
    seen: OutputMemory[tuple[str, str], Seen],
    clock: Clock,
    metrics: Metrics,
) -> tuple[Route, ...]:
    """The table of topics."""
    return (
        Route(
            PromptSubmitted,
            partial(accept_prompt, limits=limits, tokens=tokens, seen=seen, clock=clock, metrics=metrics),
            emits=(PromptAccepted, PromptRefused, PromptFailed, PromptRepeated),
        ),
        Route(
            DocumentSubmitted,
            partial(accept_document, limits=limits, metrics=metrics),
            emits=(DocumentAccepted, DocumentRefused),
        ),
    )
