"""The messages a model shall read: system text, conversation so far, and the question with its numbered sources.

All of it must fit into the model's context beside the answer: sources go last-first, then the oldest turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.bus import Rejected
from schemas.base import Message
from schemas.prompts import PromptAccepted, SourceText
from services.grounding.domain.history import Turn, as_messages
from services.grounding.domain.retrieval import Hit
from services.grounding.domain.templates import Inputs, Templates
from services.grounding.domain.tokens import TokenCounter


@dataclass(frozen=True, slots=True)
class Budget:
    """In tokens of the language model."""

    context: int = 8192
    completion: int = 512
    """Kept free for the answer where the prompt does not say how long it may be."""
    history: int = 1024

    def for_prompt(self, event: PromptAccepted) -> int:
        """What the messages may take."""
        return self.context - (event.parameters.max_completion_tokens or self.completion)


@dataclass(frozen=True, slots=True)
class Rendered:
    """What came of it."""

    messages: tuple[Message, ...]
    sources: tuple[SourceText, ...]
    tokens: int
    """Of the messages."""


def render(
    event: PromptAccepted,
    template: str,
    hits: Sequence[Hit],
    turns: Sequence[Turn],
    *,
    templates: Templates,
    tokens: TokenCounter,
    budget: Budget,
) -> Rendered:
    """Fits what it can. Raises Rejected: `unknown_template`, or `too_long` if the bare prompt does not fit."""
    room = budget.for_prompt(event)
    bare = _messages(event, templates, template, (), ())
    # Ingestion has counted what the upstream wrote; only what a template adds needs counting again.
    used = event.prompt_tokens if bare == event.messages and event.prompt_tokens else tokens.count_messages(bare)
    if used > room:
        raise Rejected(
            f"the prompt has {used} tokens and the answer may take {budget.context - room}, "
            f"together over the model's context of {budget.context}; shorten one of them",
            code="too_long",
        )
    history = as_messages(_recent(turns, min(budget.history, room - used), tokens))
    sources = numbered(hits)
    if not history and not sources:
        return Rendered(bare, (), used)
    messages = _messages(event, templates, template, sources, history)
    while (total := tokens.count_messages(messages)) > room and sources:
        sources = sources[:-1]
        messages = _messages(event, templates, template, sources, history)
    return Rendered(messages, sources, total)


def numbered(hits: Sequence[Hit]) -> tuple[SourceText, ...]:
    """Hits as sources, from 1."""
    return tuple(
        SourceText(
            number=number,
            document_id=hit.document_id,
            title=hit.title,
            location=hit.location,
            score=hit.score,
            text=hit.text,
        )
        for number, hit in enumerate(hits, 1)
    )


def _recent(turns: Sequence[Turn], room: int, tokens: TokenCounter) -> Sequence[Turn]:
    """The newest turns that fit, without a gap, in order."""
    first = len(turns)
    while first > 0:
        room -= tokens.count_messages(as_messages([turns[first - 1]]))
        if room < 0:
            break
        first -= 1
    return turns[first:]


def _messages(
    event: PromptAccepted,
    templates: Templates,
    template: str,
    sources: tuple[SourceText, ...],
    history: Sequence[Message],
) -> tuple[Message, ...]:
    """The upstream's system text stays, with the template's beneath it; its last message is written anew."""
    *before, last = event.messages
    own = "\n\n".join(m.content for m in before if m.role in ("system", "developer"))
    written = templates.write(template, Inputs(last.content, own, sources, event.parameters.wants_json))
    system = "\n\n".join(text for text in (own, written.system) if text)
    return (
        *([Message(role="system", content=system)] if system else []),
        *history,
        *(m for m in before if m.role not in ("system", "developer")),
        Message(role="user", content=written.user),
    )
