"""Placeholders: `<EMAIL_ADDRESS_1>` stands for one value of a prompt, `<EMAIL_ADDRESS>` for one redacted in an answer.

Only numbered ones are ever restored, and only from the sealed mapping of their own prompt. A prompt may itself
contain text of that form; its numbers are never given out, so such text cannot come to stand for anybody's data.
"""

import re
from collections.abc import Iterable

from libs.personal_data._findings import ENTITY_TYPES, EntityType
from libs.personal_data._text import plain

_PLACEHOLDER = re.compile(rf"<(?:{'|'.join(ENTITY_TYPES)})(?:_[1-9][0-9]{{0,4}})?>")
"""So narrow that no value can hide in what looks like a placeholder."""
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
