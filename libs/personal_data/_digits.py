"""Runs of digits and the words around them: what cards, phones and national ids have in common.

A run is a chain of digit groups with short separators, e.g. `4111 1111-1111`. Found in one linear pass.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_RUN = re.compile(r"[0-9]+(?:[ .\-/()]{1,3}[0-9]+)*")
_GROUP = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Run:
    """Digit groups as (start, end) in the text, in order."""

    groups: tuple[tuple[int, int], ...]

    @property
    def length(self) -> int:
        """Digits in all groups together."""
        return sum(end - start for start, end in self.groups)

    def windows(self, first: int, longest: int) -> list[tuple[int, int]]:
        """(last group, digits) of each chain that begins with group `first` and has at most `longest` digits."""
        chains, digits = [], 0
        for last in range(first, len(self.groups)):
            digits += self.groups[last][1] - self.groups[last][0]
            if digits > longest:
                break
            chains.append((last, digits))
        return chains


def runs(text: str, least: int) -> Iterator[Run]:
    """Every run of at least `least` digits, left to right."""
    for match in _RUN.finditer(text):
        if match.end() - match.start() >= least:
            run = Run(tuple(group.span() for group in _GROUP.finditer(text, match.start(), match.end())))
            if run.length >= least:
                yield run


def digits_of(text: str, run: Run, first: int, last: int) -> str:
    """The digits of groups `first` to `last` (inclusive) without separators."""
    return "".join(text[start:end] for start, end in run.groups[first : last + 1])


def separators_of(text: str, run: Run, first: int, last: int) -> list[str]:
    """What stands between groups `first` to `last` (inclusive)."""
    return [text[run.groups[i][1] : run.groups[i + 1][0]] for i in range(first, last)]


def said_before(text: str, start: int, words: re.Pattern[str], reach: int = 40) -> bool:
    """Whether one of the words stands within `reach` characters before `start`."""
    return words.search(text, max(0, start - reach), start) is not None
