"""Structure to passages: neighbours of one section packed up to a size, whole blocks kept whole where they fit.

Sizes are in tokens of the embedding model. Only a block that alone is too long is split: at sentences, lines or
rows, with a small overlap between the pieces of a split paragraph.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from services.grounding.domain.blocks import Block
from services.grounding.domain.splitting import split_block

Count = Callable[[str], int]

_CHARACTERS_PER_TOKEN = 8


@dataclass(frozen=True, slots=True)
class Sizes:
    """In tokens: what a passage aims at, and what paragraph pieces share."""

    target: int = 200
    overlap: int = 20


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document as it is searched and shown. `text` stands in the document as it stands here."""

    text: str
    location: str | None


def searched(title: str | None, location: str | None, text: str) -> str:
    """What is embedded: the text under its title and heading path, so that it says what it is about."""
    head = " > ".join(part for part in (title, location) if part and not part.startswith("page "))
    return f"{head}\n{text}" if head else text


def chunk(blocks: Iterable[Block], count: Count, sizes: Sizes) -> Iterator[Passage]:
    """Passages in document order; none crosses a heading or a page."""

    def size(text: str) -> int:
        # A tokenizer may see one unknown token in any long run of characters, or none in many short ones; bytes and
        # pieces must be bounded all the same.
        return max(1, count(text), len(text) // _CHARACTERS_PER_TOKEN)

    for location, section in groupby(blocks, key=lambda block: block.location):
        room = max(sizes.target - (size(location) if location else 0), sizes.target // 2)
        pieces = [piece for block in section for piece in split_block(block, size, room, sizes.overlap)]
        for text in _packed(pieces, size, room):
            yield Passage(text, location)


def _packed(pieces: Sequence[str], count: Count, room: int) -> Iterator[str]:
    """Neighbours share a passage while they fit together."""
    held: list[str] = []
    used = 0
    for piece in pieces:
        size = count(piece)
        if held and used + size > room:
            yield "\n\n".join(held)
            held, used = [], 0
        held.append(piece)
        used += size
    if held:
        yield "\n\n".join(held)
