"""When two texts say the same, and how texts of one example are masked as one."""

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence

from libs.personal_data import Unmaskable

Texts = Sequence[str]
Mask = Callable[[Texts, Texts], tuple[Texts, Texts]]
"""Masks new texts, and what was masked before, as one: (new, before) to (new, before). Raises Unmaskable."""

_NUMBERED = re.compile(r"<([A-Z][A-Z0-9_]{1,40})_[0-9]{1,5}>")


def same_text(one: str, other: str) -> bool:
    """Whether two masked texts say the same.

    The answer has the prompt's numbered placeholders where the person saw values; an edit has un-numbered markers.
    """
    return _bare(one) == _bare(other)


def _bare(text: str) -> str:
    return _NUMBERED.sub(r"<\1>", unicodedata.normalize("NFC", text)).strip()


def masked_as_one(common: Texts, groups: Sequence[Texts], mask: Mask) -> tuple[Texts, list[Texts | None]]:
    """The common texts, masked before, and each group's, all as one. A group that cannot be masked is None.

    Masking is done at most three times over, whatever somebody has made up.
    """
    try:
        return _split(common, groups, mask)
    except Unmaskable:
        sound = [_is_maskable(group, mask) for group in groups]
    try:
        texts, masked = _split(common, [group for group, good in zip(groups, sound, strict=True) if good], mask)
    except Unmaskable:
        return common, [None for _ in groups]
    left = iter(masked)
    return texts, [next(left) if good else None for good in sound]


def _split(common: Texts, groups: Sequence[Texts], mask: Mask) -> tuple[Texts, list[Texts | None]]:
    new, before = mask([text for group in groups for text in group], common)
    left = iter(new)
    return before, [[next(left) for _ in group] for group in groups]


def _is_maskable(group: Texts, mask: Mask) -> bool:
    try:
        mask(group, ())
    except Unmaskable:
        return False
    return True


def not_plain(names: Collection[str], mask: Mask) -> set[str]:
    """Those ids that are personal data. Each is judged by itself, unless all of them pass."""
    if _all_pass(names, mask):
        return set()
    return {name for name in names if not _all_pass([name], mask)}


def _all_pass(names: Collection[str], mask: Mask) -> bool:
    try:
        return list(mask(list(names), ())[0]) == list(names)
    except Unmaskable:
        return False
