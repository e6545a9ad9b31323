"""Citations: `[1]` in an answer names a source by the number the model was shown.

Listed are the sources the answer cites, or all that were shown where it cites none. Numbers never change, and a
citation of a source that does not exist stays as it was written: a stream may have shown it already.
"""

import re
from collections.abc import Sequence

from schemas.prompts import Source

_CITATION = re.compile(
    r"[\[【]\s{0,2}(?:sources?\s{1,2})?([0-9]{1,3}(?:\s{0,2}[,;\-\u2013]\s{0,2}[0-9]{1,3}){0,20})\s{0,2}[\]】]",
    re.IGNORECASE,
)
_RANGE = re.compile(r"([0-9]+)\s*[-\u2013]\s*([0-9]+)|([0-9]+)")


def cited(text: str, shown: Sequence[Source]) -> tuple[Source, ...]:
    """The sources to list with an answer, by number."""
    numbers = {number for match in _CITATION.finditer(text) for number in _numbers(match[1])}
    named = tuple(sorted((s for s in shown if s.number in numbers), key=lambda source: source.number))
    return named or tuple(shown)


def _numbers(written: str) -> set[int]:
    """`1, 3-5` as 1, 3, 4, 5."""
    found: set[int] = set()
    for first, last, single in _RANGE.findall(written):
        found |= {int(single)} if single else set(range(int(first), int(last) + 1))
    return found
