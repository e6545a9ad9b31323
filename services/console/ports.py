"""What the console's work tells of itself while it goes on."""

from typing import Protocol


class Progress(Protocol):
    """Whoever watches: a progress bar, or nobody."""

    def advance(self, done: int, of: int, note: str = "") -> None:
        """So many things are done, of so many."""


class Silent:
    """Nobody watches."""

    def advance(self, done: int, of: int, note: str = "") -> None:
        return None
