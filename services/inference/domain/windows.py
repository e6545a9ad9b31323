"""Cuts a growing text into windows that can be judged one by one: at sentence ends, else at white space.

Never inside a placeholder such as `<EMAIL_ADDRESS_1>`, never between digits, never inside a word. Knows no events.
"""

import re
from collections.abc import Iterator

_SENTENCE = re.compile(r"[.!?。！？]['\")\]»”’]*\s+|\n+")  # noqa: RUF001 - full-width marks end sentences too
_CLAUSE = re.compile(r"[,;:]\s+|\s+[–—-]\s+")  # noqa: RUF001 - en dash
_BLANK = re.compile(r"\s+")
_LIST_NUMBER = re.compile(r"(?:^|\n)\s*\d{1,3}\.\s+$")
_OPEN_PLACEHOLDER = re.compile(r"<[A-Z0-9_]*$")


class SentenceWindows:
    """Feed it text; take windows. What is left at the end is `rest`."""

    def __init__(self, *, longest: int = 200, first: int = 40, shortest: int = 16) -> None:
        """`longest`: characters after which white space will do. `first`: after which the first may end at a clause."""
        self._longest = longest
        self._first = first
        self._shortest = shortest
        self._text = ""
        self._count = 0

    @property
    def rest(self) -> str:
        """What no window holds yet."""
        return self._text

    def push(self, text: str) -> Iterator[str]:
        """The windows that this text completes."""
        self._text += text
        while cut := self._cut():
            window, self._text = self._text[:cut], self._text[cut:]
            self._count += 1
            yield window

    def _cut(self) -> int:
        """Where the next window ends; 0: nowhere yet."""
        if cut := self._first_end(_SENTENCE, self._shortest):
            return cut
        if self._count == 0 and (cut := self._first_end(_CLAUSE, self._first)):
            return cut
        return self._first_end(_BLANK, self._longest) if len(self._text) > self._longest else 0

    def _first_end(self, pattern: re.Pattern[str], least: int) -> int:
        """End of the first match that leaves at least so many characters before it, and text after it."""
        for match in pattern.finditer(self._text):
            end = match.end()
            if end >= least and end < len(self._text) and self._allowed(end):
                return end
        return 0

    def _allowed(self, end: int) -> bool:
        before, after = self._text[:end], self._text[end:]
        if _OPEN_PLACEHOLDER.search(before) or _LIST_NUMBER.search(before):
            return False
        # Digits in groups ("4111 1111 ...", "06 12 34") are one number to whoever looks for personal data.
        return not (before.rstrip()[-1:].isdigit() and after[:1].isdigit())
