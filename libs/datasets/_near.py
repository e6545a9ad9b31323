"""Near-duplicates of texts: sets of word triples, small sketches of them, and their Jaccard similarity.

Sketches are MinHashes by one permutation (Li, Owen and Zhang 2012), empty bins filled by rotation (Shrivastava and Li
2014); bands of equal minima find candidates (Broder 2000), the sets themselves decide. Nothing here depends on an
order, a seed or a process.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

Shingles = frozenset[int]

_BANDS, _ROWS = 6, 6
_BINS = _BANDS * _ROWS
_64 = (1 << 64) - 1
_63 = (1 << 63) - 1
# Odd constants: multiplication by them is a bijection of 64-bit words.
_FIRST, _SECOND, _STEP = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93
# Scripts that put no spaces between words are read letter by letter.
_UNSPACED = r"\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")


def shingles(text: str) -> Shingles:
    """Hashes of the text's word triples, after folding of case and compatible letters; of fewer words, of them all."""
    words = [_word(word) for word in _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())]
    if len(words) < 3:
        words = [*words, 1, 2][:3] if words else []
    triples = zip(words, words[1:], words[2:], strict=False)
    return frozenset({(a * _FIRST + b * _SECOND + c) & _64 for a, b, c in triples})


@lru_cache(maxsize=1 << 16)
def _word(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")


def similar(one: Sequence[Shingles], other: Sequence[Shingles], least: float) -> bool:
    """Whether each part is at least so similar to its counterpart (Jaccard)."""
    return all(len(a & b) >= least * len(a | b) for a, b in zip(one, other, strict=True))


def bands(parts: Sequence[Shingles], salt: int) -> list[int]:
    """63-bit keys; similar parts under one salt most likely share one of them.

    A pair of similarity s shares none with probability (1 - s^6)^6: at 0.85 6 %, at 0.9 1 %, at 0.95 less than 0.1 %.
    """
    minima = _minima(parts)
    keys = []
    for band in range(_BANDS):
        key = salt * _BANDS + band + 1
        for value in minima[band * _ROWS : (band + 1) * _ROWS]:
            key = ((key ^ value) * _STEP) & _64
            key ^= key >> 29
        keys.append(key & _63)
    return keys


def _minima(parts: Sequence[Shingles]) -> list[int]:
    found: list[int | None] = [None] * _BINS
    for number, part in enumerate(parts):
        for shingle in part:
            mixed = ((shingle ^ number) * _STEP) & _64
            place = mixed % _BINS
            before = found[place]
            if before is None or mixed < before:
                found[place] = mixed
    return _filled(found)


def _filled(found: Sequence[int | None]) -> list[int]:
    """An empty bin takes the next full one's value, changed by how far it had to be carried."""
    filled, carried, distance = [0] * len(found), 0, 0
    # Twice round: the last bins may take theirs from the first.
    for place in [*reversed(range(len(found)))] * 2:
        value = found[place]
        carried, distance = (carried, distance + 1) if value is None else (value, 0)
        filled[place] = (carried + distance * _FIRST) & _64
    return filled
