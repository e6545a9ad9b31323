"""Tidies text so that what was streamed stays a prefix of the whole: only its two ends are touched."""

import re

_CITATION = re.compile(r"\[(\d{1,3})\]")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)


def opening(window: str) -> str:
    """The first window of a stream, as the whole text begins."""
    return window.lstrip()


def tidy(text: str) -> str:
    """Without white space around it; a code fence left open (the answer was cut) is closed."""
    text = text.strip()
    fences = _FENCE.findall(text)
    return f"{text}\n{fences[-1]}" if len(fences) % 2 else text


def cited(text: str) -> frozenset[int]:
    """The source numbers a text refers to, as in `[2]`."""
    return frozenset(int(number) for number in _CITATION.findall(text))
