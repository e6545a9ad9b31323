"""Blocks that are too long for one passage, cut where it hurts least: sentences, lines, rows, at last words.

Knows sizes only through the counting function it is given.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from services.grounding.domain.blocks import Block

Count = Callable[[str], int]

_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])\s+|\n+")  # noqa: RUF001 - full-width marks end sentences too
_CHARACTERS_PER_CUT = 400


def split_block(block: Block, count: Count, room: int, overlap: int) -> Sequence[str]:
    """The block's text in pieces of at most `room` tokens, in order."""
    if count(block.text) <= room:
        return [block.text]
    if block.kind == "table":
        return _split_table(block.text, count, room)
    if block.kind in ("code", "list"):
        return list(_gathered(_short(block.text.split("\n"), count, room), "\n", count, room, 0))
    return list(_gathered(_short(_SENTENCE_END.split(block.text), count, room), " ", count, room, overlap))


def _split_table(text: str, count: Count, room: int) -> Sequence[str]:
    """Each piece repeats the header, so that its cells keep their names."""
    lines = text.split("\n")
    header = "\n".join(lines[:2] if len(lines) > 2 and set(lines[1]) <= set("|-: ") else lines[:1])
    left = room - count(header)
    if left < room // 3:
        return list(_gathered(_short(lines, count, room), "\n", count, room, 0))
    rows = _short(lines[header.count("\n") + 1 :], count, left)
    return [f"{header}\n{piece}" for piece in _gathered(rows, "\n", count, left, 0)]


def _gathered(units: Iterator[str], joint: str, count: Count, room: int, overlap: int) -> Iterator[str]:
    held: list[tuple[str, int]] = []
    for unit in units:
        size = count(unit)
        if held and sum(s for _, s in held) + size > room:
            yield joint.join(text for text, _ in held)
            held = _tail(held, min(overlap, room - size))
        held.append((unit, size))
    if held:
        yield joint.join(text for text, _ in held)


def _tail(held: list[tuple[str, int]], overlap: int) -> list[tuple[str, int]]:
    """The last units that together fit into the overlap."""
    kept: list[tuple[str, int]] = []
    for unit, size in reversed(held):
        if sum(s for _, s in kept) + size > overlap:
            break
        kept.insert(0, (unit, size))
    return kept


def _short(units: Sequence[str], count: Count, room: int) -> Iterator[str]:
    """Units of at most `room` tokens: a sentence or line beyond it is cut at words, a word at characters."""
    for unit in units:
        if not unit.strip():
            continue
        if count(unit) <= room:
            yield unit
        else:
            yield from _gathered(_words(unit, count, room), " ", count, room, 0)


def _words(text: str, count: Count, room: int) -> Iterator[str]:
    for word in text.split():
        if count(word) <= room:
            yield word
            continue
        step = min(_CHARACTERS_PER_CUT, room)
        yield from (word[start : start + step] for start in range(0, len(word), step))
