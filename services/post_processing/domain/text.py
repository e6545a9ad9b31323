"""Clean-up of an answer's text that a stream's windows share: what was streamed is a prefix of the final text.

So it only drops characters one by one, drops white space at the very start, and appends at the very end. White space
at the end stays: a window that has been streamed cannot be taken back.
"""

import re

from schemas.completions import FinishReason

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)


def clean_window(text: str, *, first: bool) -> str:
    """One window of a stream."""
    kept = _CONTROLS.sub("", text)
    return kept.lstrip() if first else kept


def clean_text(text: str, finish_reason: FinishReason) -> str:
    """A whole answer in text or Markdown. A code fence that the length limit cut off is closed."""
    kept = clean_window(text, first=True)
    if finish_reason == "length" and (fence := _open_fence(kept)):
        return f"{kept}{'' if kept.endswith(chr(10)) else chr(10)}{fence}"
    return kept


def _open_fence(text: str) -> str | None:
    """The fence that was opened and not closed, as CommonMark pairs them."""
    opened: str | None = None
    for match in _FENCE.finditer(text):
        fence = match[1]
        if opened is None:
            opened = fence
        elif fence[0] == opened[0] and len(fence) >= len(opened):
            opened = None
    return opened
