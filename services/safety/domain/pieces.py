"""A grounded prompt taken apart by who wrote what, so that each part is judged by its own rule.

The model reads `messages`; what in them came from the upstream or from a source is judged as such. The template's
own words are trusted. All texts of one author are judged together: an attempt split over two messages is one attempt.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from libs.content_safety import Provenance
from schemas.base import Message
from schemas.prompts import PromptGrounded

_UPSTREAM: dict[str, Provenance] = {
    "user": "user",
    "system": "system",
    "developer": "system",
    "assistant": "history",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of one origin. `source` is the number of the source it belongs to; `of_label`: its title or location."""

    provenance: Provenance
    text: str
    source: int | None = None
    of_label: bool = False


def pieces_of(event: PromptGrounded) -> Iterator[Piece]:
    """Every text that somebody other than the operator wrote."""
    wrote: dict[Provenance, list[str]] = {"user": [], "system": [], "history": []}
    for message in event.upstream_messages:
        wrote[_UPSTREAM[message.role]].append(message.content)
    wrote["history"] += [message.content for message in _earlier_turns(event)]
    yield from (Piece(provenance, "\n".join(texts)) for provenance, texts in wrote.items() if texts)
    for source in event.sources:
        yield Piece("source", source.text, source.number)
        label = "\n".join(filter(None, (source.title, source.location, source.document_id)))
        yield Piece("source", label, source.number, of_label=True)


def _earlier_turns(event: PromptGrounded) -> Iterator[Message]:
    """Turns that grounding added: neither the upstream's own nor the rendered question, which comes last."""
    upstream = {message.content for message in event.upstream_messages}
    for message in event.messages[:-1]:
        if message.role in ("user", "assistant") and message.content not in upstream:
            yield message
