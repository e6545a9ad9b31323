"""What grounding hears and says."""

from dataclasses import dataclass
from functools import partial

from libs.bus import Delivery, Route, View
from libs.clock import Clock
from libs.embeddings import Embedder
from libs.telemetry import Metrics
from schemas.documents import DocumentAccepted, DocumentIndexed, DocumentRefused
from schemas.prompts import PromptAccepted, PromptFailed, PromptGrounded, PromptRefused
from schemas.responses import ResponseReady
from services.grounding.domain.chunking import Sizes
from services.grounding.domain.rendering import Budget
from services.grounding.domain.templates import Templates
from services.grounding.handlers import Choices, apply_indexed, ground_prompt, index_document, remember_response
from services.grounding.memory import ConversationMemory, HeadMemory
from services.grounding.ports import ChunkIndex, Positions, TokenCounter


@dataclass(frozen=True)
class Tools:
    """What the handlers work with."""

    index: ChunkIndex
    positions: Positions
    embedder: Embedder
    tokens: TokenCounter
    templates: Templates
    conversations: ConversationMemory
    heads: HeadMemory
    budget: Budget
    sizes: Sizes
    choices: Choices
    clock: Clock
    metrics: Metrics


def routes(tools: Tools) -> tuple[Route, ...]:
    """The table of topics."""
    return (
        Route(
            PromptAccepted,
            partial(
                ground_prompt,
                index=tools.index,
                embedder=tools.embedder,
                tokens=tools.tokens,
                templates=tools.templates,
                conversations=tools.conversations,
                budget=tools.budget,
                choices=tools.choices,
                clock=tools.clock,
                metrics=tools.metrics,
            ),
            emits=(PromptGrounded, PromptRefused, PromptFailed),
        ),
        Route(ResponseReady, partial(remember_response, conversations=tools.conversations)),
        Route(
            DocumentAccepted,
            partial(
                index_document,
                index=tools.index,
                heads=tools.heads,
                embedder=tools.embedder,
                sizes=tools.sizes,
                metrics=tools.metrics,
            ),
            emits=(DocumentIndexed, DocumentRefused),
            # Each holds its whole text and keeps a core busy: few at a time leave prompts their share.
            delivery=Delivery(in_flight=2),
        ),
    )


def views(tools: Tools) -> tuple[View[DocumentIndexed], ...]:
    """The index, built from the log."""
    apply = partial(apply_indexed, index=tools.index, positions=tools.positions, embedder=tools.embedder)
    return (View(DocumentIndexed, apply, tools.positions.positions),)
