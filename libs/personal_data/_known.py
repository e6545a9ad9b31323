"""Values that are known to be personal data, found again wherever they stand, context or not.

Case never matters. In numbers (telephone, card, account, national id) nor do spaces, dashes, dots, slashes and
parentheses; in all other values white space does not. A value begins and ends where a word or a number does.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from libs.personal_data._automaton import Automaton
from libs.personal_data._findings import ENTITY_TYPES, GUESSES, EntityType, Finding
from libs.personal_data._placeholders import blank_out
from libs.personal_data._text import plain

_WORDY: frozenset[EntityType] = frozenset(
    {"EMAIL_ADDRESS", "IP_ADDRESS", "API_KEY", "JWT", "PRIVATE_KEY", "PASSWORD", "URL_CREDENTIALS"}
)
"""Kinds whose punctuation belongs to the value."""
_TOKEN = re.compile(r"[^\W_]+|\S")
_GROUP = re.compile(r"[0-9]+|[^\W\d_]+")
_GAP = re.compile(r"[\s.\-/()]{0,8}")


class Known:
    """The values of one decision. A value of which two kinds are said has the more specific one everywhere."""

    def __init__(self) -> None:
        self._words: dict[tuple[str, ...], EntityType] = {}
        self._numbers: dict[str, EntityType] = {}
        self._prefixes: set[str] = set()
        """All beginnings of all numbers; none is longer than an IBAN."""
        self._automaton: Automaton[EntityType] | None = None

    @property
    def kinds(self) -> Iterable[EntityType]:
        """The kind of each value."""
        return (*self._words.values(), *self._numbers.values())

    def learn(self, value: str, entity_type: EntityType) -> None:
        """From now on the value is known."""
        if entity_type in _WORDY:
            tokens = _tokens(value)
            self._words[tokens] = min(self._words.get(tokens, entity_type), entity_type, key=_rank)
            self._automaton = None
        else:
            number = _number(value)
            self._prefixes.update(number[:length] for length in range(1, len(number) + 1))
            self._numbers[number] = min(self._numbers.get(number, entity_type), entity_type, key=_rank)

    def kind_of(self, value: str, entity_type: EntityType) -> EntityType:
        """What a value is that a detector took for `entity_type` here."""
        if entity_type in _WORDY:
            return self._words.get(_tokens(value), entity_type)
        return self._numbers.get(_number(value), entity_type)

    def find(self, text: str) -> Iterator[Finding]:
        """Where known values stand; they may overlap. Linear in the text, however many are known."""
        reading = plain(text)
        bare = blank_out(reading.text)
        for finding in (*self._words_in(bare), *self._numbers_in(bare)):
            yield Finding(*reading.span(finding.start, finding.end), finding.entity_type)

    def _words_in(self, text: str) -> Iterator[Finding]:
        if not self._words:
            return
        if self._automaton is None:
            self._automaton = Automaton(self._words)
        ends = list(self._automaton.ends(_tokens_of(text)))
        spans = [match.span() for match in _TOKEN.finditer(text)] if ends else []
        for past, length, kind in ends:
            yield Finding(spans[past - length][0], spans[past - 1][1], kind)

    def _numbers_in(self, text: str) -> Iterator[Finding]:
        groups = [group.casefold() for group in _GROUP.findall(text)] if self._numbers else []
        if self._prefixes.isdisjoint(groups):
            return
        spans = [match.span() for match in _GROUP.finditer(text)]
        chained = [_GAP.fullmatch(text, end, start) is not None for (_, end), (start, _) in pairwise(spans)]
        for first, group in enumerate(groups):
            if group in self._prefixes and (found := self._number_from(groups, chained, first)) is not None:
                last, kind = found
                yield Finding(spans[first][0], spans[last][1], kind)

    def _number_from(self, groups: Sequence[str], chained: Sequence[bool], first: int) -> tuple[int, EntityType] | None:
        """(last group, kind) of the longest number that begins with this group."""
        written, longest = "", None
        for last in range(first, len(groups)):
            written += groups[last]
            if written not in self._prefixes or (last > first and not chained[last - 1]):
                break
            if written in self._numbers:
                longest = last, self._numbers[written]
        return longest


def _tokens(value: str) -> tuple[str, ...]:
    return tuple(_tokens_of(plain(value).text))


def _tokens_of(text: str) -> list[str]:
    return [token.casefold() for token in _TOKEN.findall(text)]


def _number(value: str) -> str:
    return "".join(_GROUP.findall(plain(value).text)).casefold()


def _rank(entity_type: EntityType) -> tuple[bool, int]:
    """The more specific kind first; then as they are listed."""
    return entity_type in GUESSES, ENTITY_TYPES.index(entity_type)
