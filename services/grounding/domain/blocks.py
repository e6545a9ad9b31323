"""A document as its structure: blocks of text, each under a heading path and perhaps on a page. Knows no format."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["paragraph", "list", "code", "table"]


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph, list, code block or table. `text` is what a reader would see, lines kept."""

    kind: Kind
    text: str
    path: tuple[str, ...] = ()
    page: int | None = None

    @property
    def location(self) -> str | None:
        """Where it stands: `Install > Linux`, `page 3`; None at the top of a document without headings."""
        parts = [*self.path, *([f"page {self.page}"] if self.page else [])]
        return " > ".join(parts) or None


@dataclass(frozen=True, slots=True)
class Structure:
    """A document that was read. `title` is the one the document gives itself, if it does."""

    blocks: Sequence[Block]
    title: str | None = None


class HeadingPath:
    """The open headings while a document is read from top to bottom."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, text: str) -> None:
        """A heading closes those of its level and deeper."""
        self._open = [*((known, name) for known, name in self._open if known < level), (level, text)]

    @property
    def current(self) -> tuple[str, ...]:
        """The headings above the present place, outermost first."""
        return tuple(name for _, name in self._open if name)
