"""Payment cards (Luhn, brand prefixes and lengths of ISO/IEC 7812) and IBANs (ISO 13616: length, shape, mod 97)."""

import re
from collections.abc import Iterable, Iterator
from functools import cache

from stdnum import iban, luhn, numdb

from libs.personal_data._digits import Run, digits_of, separators_of
from libs.personal_data._findings import Finding

_BRANDS: tuple[tuple[re.Pattern[str], frozenset[int]], ...] = (
    (re.compile("4"), frozenset({13, 16, 19})),  # Visa
    (re.compile("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), frozenset({16})),  # Mastercard
    (re.compile("3[47]"), frozenset({15})),  # American Express
    (re.compile("6011|64[4-9]|65|62"), frozenset({16, 17, 18, 19})),  # Discover, UnionPay
    (re.compile("35[2-8]"), frozenset({16, 17, 18, 19})),  # JCB
    (re.compile("30[0-5]|3095|36|3[89]"), frozenset({14, 16, 19})),  # Diners Club
    (re.compile("5018|5020|5038|5893|6304|6759|676[1-3]"), frozenset(range(13, 20))),  # Maestro
    (re.compile("220[0-4]"), frozenset({16, 17, 18, 19})),  # Mir
)
_CHECK_DIGITS = re.compile(r"[0-9](?<=[A-Za-z]{2}[0-9])[0-9]|[0-9](?<=[A-Za-z]{2}[ -][0-9])[0-9]")
_LONGEST_IBAN = 34
_SHORTEST_CARD, _LONGEST_CARD, _MOST_GROUPS = 13, 19, 7


def find_cards(text: str, runs: Iterable[Run]) -> Iterator[Finding]:
    """Card numbers in the runs; groups may be of any size but are parted by one kind of separator."""
    for run in runs:
        first = 0
        while first < len(run.groups):
            last = _card_end(text, run, first)
            if last is not None:
                yield Finding(run.groups[first][0], run.groups[last][1], "CREDIT_CARD")
            first = first + 1 if last is None else last + 1


def _card_end(text: str, run: Run, first: int) -> int | None:
    start = run.groups[first][0]
    if text[start] not in "23456" or text[start - 1 : start] == ".":
        return None
    windows = run.windows(first, _LONGEST_CARD)
    if not windows or windows[-1][1] < _SHORTEST_CARD:
        return None
    digits = digits_of(text, run, first, windows[-1][0])
    lengths = {length for prefix, lengths in _BRANDS if prefix.match(digits) for length in lengths}
    for last, length in reversed(windows):
        if length in lengths and luhn.is_valid(digits[:length]) and _reads_as_one(text, run, first, last):
            return last
    return None


def _reads_as_one(text: str, run: Run, first: int, last: int) -> bool:
    """One kind of separator, and few groups or all of one size: a list of numbers is not a card."""
    separators = {separator.strip() for separator in separators_of(text, run, first, last)}
    sizes = {end - start for start, end in run.groups[first : last + 1]}
    return len(separators) <= 1 and (last - first < _MOST_GROUPS or len(sizes) == 1)


def find_ibans(text: str) -> Iterator[Finding]:
    """IBANs of any registered country, in groups or not."""
    for match in _CHECK_DIGITS.finditer(text):
        start = match.start() - (2 if text[match.start() - 1].isalpha() else 3)
        if text[start - 1 : start].isalnum():
            continue
        end = _end_of(text, start, _iban_length(text[start : start + 2].upper()))
        if end is not None and iban.is_valid(text[start:end], check_country=False):
            yield Finding(start, end, "IBAN")


def _end_of(text: str, start: int, length: int) -> int | None:
    """Where the `length`-th letter or digit from `start` ends, single separators skipped, if a word ends there."""
    seen, position, skipped = 0, start, False
    while seen < length and position < len(text):
        character = text[position]
        if character.isascii() and character.isalnum():
            seen, skipped = seen + 1, False
        elif character in " -" and not skipped:
            skipped = True
        else:
            return None
        position += 1
    complete = 0 < length == seen
    return position if complete and not text[position : position + 1].isalnum() else None


@cache
def _iban_length(country: str) -> int:
    """Length in characters as the SWIFT registry says (python-stdnum's copy); 0 for no such country."""
    shape = numdb.get("iban").info(country + "0" * (_LONGEST_IBAN - 2))[0][1].get("bban", "")
    return 4 + sum(map(int, re.findall(r"(\d+)!", shape))) if shape else 0
