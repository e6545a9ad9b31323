"""Text as detectors read it: disguised characters made plain, hidden ones gone, every position still known.

A value written with full-width digits, exotic dashes or zero-width characters between its letters is the same
value to a person. Detectors search `Plain.text`; `Plain.span` leads back to the original text.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
"""What renders as nothing: zero-width, bidirectional and variation controls, tag characters."""
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2e3a\ufe58\ufe63\uff0d\u058a"
_DOTS = "\u2024\u3002\uff0e\uff61\u00b7\u2027"
_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


@dataclass(frozen=True, slots=True)
class Plain:
    """`text` for detectors; `origins[i]` is where its character i stands in the original (None: the same place)."""

    text: str
    origins: tuple[int, ...] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original span of a non-empty span of `text`; hidden characters inside it belong to it."""
        if self.origins is None:
            return start, end
        return self.origins[start], self.origins[end - 1] + 1


def plain(original: str) -> Plain:
    """Unicode digits, full-width and styled letters, dashes and spaces as ASCII; hidden characters left out. O(n)."""
    if original.isascii():
        return Plain(original)
    seen = without(original, [match.span() for match in _HIDDEN.finditer(original)])
    return Plain(seen.text.translate(_ascii_of()), seen.origins)


def without(original: str, holes: Sequence[tuple[int, int]]) -> Plain:
    """The text without these spans, which are in reading order and do not overlap."""
    if not holes:
        return Plain(original)
    starts, ends = [0, *(end for _, end in holes)], [*(start for start, _ in holes), len(original)]
    text = "".join(original[start:end] for start, end in zip(starts, ends, strict=True))
    return Plain(text, tuple(chain.from_iterable(map(range, starts, ends))))


@cache
def _ascii_of() -> dict[int, str]:
    """One character for one character, so that positions stay true."""
    table = {code: look for code in (*range(0x80, 0xD800), *range(0xE000, 0x20000)) if (look := _look(chr(code)))}
    table |= dict.fromkeys(map(ord, _DASHES), "-") | dict.fromkeys(map(ord, _DOTS), ".")
    return table | dict.fromkeys(map(ord, _SPACES), " ")


def _look(character: str) -> str | None:
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    compatible = unicodedata.normalize("NFKC", character)
    return compatible if len(compatible) == 1 and compatible.isascii() else None
