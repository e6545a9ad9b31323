"""Placeholders: `<EMAIL_ADDRESS_1>` stands for one value of a prompt, `<EMAIL_ADDRESS>` for one redacted in an answer.

Only numbered ones are ever restored, and only from the sealed mapping of their own prompt. A prompt may itself
contain text of that form; its numbers are never given out, so such text cannot come to stand for anybody's data.
"""

import re
from collections.abc import Iterable
from typing import cast

from libs.personal_data._findings import ENTITY_TYPES, EntityType, Finding
from libs.personal_data._text import Plain, plain, without

_PLACEHOLDER = re.compile(rf"<({'|'.join(ENTITY_TYPES)})(?:_[1-9][0-9]{{0,4}})?>")
"""So narrow that no value can hide in what looks like a placeholder."""
_DISGUISED = re.compile(rf"<\s?({'|'.join(ENTITY_TYPES)})(?:_[0-9]{{0,40}})?\s?>", re.IGNORECASE)
_LOOKALIKE = re.compile(r"<\s?([A-Z][A-Z0-9_]{1,40})_0{0,9}([0-9]{1,9})\s?>", re.IGNORECASE)


def numbered(entity_type: EntityType, number: int) -> str:
    """The placeholder of a prompt's value."""
    return f"<{entity_type}_{number}>"


def marker(entity_type: EntityType) -> str:
    """What stands for a redacted value of an answer: the same in a stream's window and in the whole text."""
    return f"<{entity_type}>"


def blank_out(text: str) -> str:
    """The text with each placeholder overwritten by NULs of the same length, so that no detector looks into one."""
    return _PLACEHOLDER.sub(lambda match: "\0" * len(match.group()), text) if "<" in text else text


def already_written(texts: Iterable[str]) -> set[str]:
    """Numbered placeholders that stand in the texts, disguised ones too, in our own spelling."""
    return {
        f"<{match[1].upper()}_{int(match[2])}>" for text in texts for match in _LOOKALIKE.finditer(plain(text).text)
    }


def kept_of(texts: Iterable[str]) -> frozenset[str]:
    """The placeholders and markers that stand in the texts exactly as we write them."""
    return frozenset(match.group() for text in texts for match in _PLACEHOLDER.finditer(text))


def placeholders_in(text: str) -> list[Finding]:
    """Where `blank_out` finds placeholders, in reading order."""
    return _all(_PLACEHOLDER, text)


def lookalikes_in(text: str) -> list[Finding]:
    """Placeholders, and what a reader or a program may take for one: any case, any number, hidden characters."""
    return _all(_DISGUISED, text)


def without_lookalikes(text: str) -> Plain:
    """The text as it reads where nobody sees the placeholders."""
    return without(text, [(lookalike.start, lookalike.end) for lookalike in lookalikes_in(text)])


def _all(pattern: re.Pattern[str], text: str) -> list[Finding]:
    if "<" not in (reading := plain(text)).text:
        return []
    matches = pattern.finditer(reading.text)
    return [Finding(*reading.span(*match.span()), cast("EntityType", match[1].upper())) for match in matches]
