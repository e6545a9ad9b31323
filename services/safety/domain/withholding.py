"""Taking a source out of a prompt that is already rendered: its text gives way to a note, its number stays unused."""

from collections.abc import Mapping, Sequence

from schemas.base import Message
from schemas.prompts import SourceText

NOTE = "[This source was withheld by the safety policy.]"
_SHORTEST_LABEL = 8
"""A label with an order to the model is longer; replacing a short one everywhere would garble the prompt."""


class CannotWithhold(ValueError):  # noqa: N818 - it names what is the matter
    """A source's text does not stand verbatim in the messages, so it cannot be taken out of them."""


def withhold(messages: Sequence[Message], sources: Mapping[SourceText, bool]) -> tuple[Message, ...]:
    """The messages without these sources' texts (True: and without titles and locations). Raises CannotWithhold."""
    parts = sorted(
        {part for source, label in sources.items() for part in _parts(messages, source, label=label)}, key=len
    )
    cleaned = tuple(messages)
    for part in reversed(parts):
        cleaned = tuple(m.model_copy(update={"content": m.content.replace(part, NOTE)}) for m in cleaned)
    return cleaned


def _parts(messages: Sequence[Message], source: SourceText, *, label: bool) -> list[str]:
    if source.text.strip() and not any(source.text in message.content for message in messages):
        raise CannotWithhold(f"the text of source {source.number} does not stand verbatim in the messages")
    labels = [part for part in (source.title, source.location, source.document_id) if part] if label else []
    return [source.text] * bool(source.text.strip()) + [part for part in labels if len(part) >= _SHORTEST_LABEL]
