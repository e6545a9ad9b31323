"""Questions that a knowledge base answers, made without a model: sentences of it with a telling word taken out.

Whoever has the right passage before him can answer; whoever has not can hardly guess.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from services.evaluation.examination.held_out import spread
from services.evaluation.examination.passages import Knowledge

Kind = Literal["easy", "complex", "distracting"]
GAP = "____"
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n|\n(?=\s*(?:[-*#|>]|\d+[.)]))")
"""Ends at a full stop, a paragraph's end, or where an item of a list begins; not where a line was broken."""
_WORD = re.compile(r"\d+(?:[.,:]\d+)*|\w[\w'-]*")
_SHAPE = re.compile(r"[^\W_a-z][^<>|#*_`{}\[\]]*[.!?]")
"""Begins with no small letter and ends. Markup and masked values are no sentence to ask about."""
_NUMBERS = dict(zip(
    ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
     "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
    map(str, range(1, 21)), strict=True,
))  # fmt: skip
_FEWEST, _MOST, _LONG = 6, 40, 5


@dataclass(frozen=True)
class Question:
    """`terms`: what a right answer names. `sources`: places of the passages that say so."""

    kind: Kind
    document: str
    text: str
    terms: tuple[str, ...]
    sources: tuple[int, ...]


@dataclass(frozen=True)
class _Cloze:
    place: int
    document: str
    title: str
    sentence: str
    term: str


def questions(knowledge: Knowledge, most: int, seed: int) -> list[Question]:
    """At most so many of each kind, of each document in turn; the same for the same seed."""
    clozes = list(_clozes(knowledge))
    drawn = spread(clozes, 2 * most, seed, lambda it: it.sentence, lambda it: it.document)
    easy = [_simple("easy", it) for it in drawn[:most]]
    # Other sentences than those, where there are enough.
    distracting = [_simple("distracting", it) for it in (drawn[most:] + drawn)[:most]]
    pairs = spread(_pairs(clozes), most, seed, lambda it: it[0].sentence + it[1].sentence, lambda it: it[0].document)
    return [*easy, *(_double(*pair) for pair in pairs), *distracting]


def is_right(answer: str, terms: tuple[str, ...]) -> bool:
    """Whether it names all of them, whatever their case and however numbers are written."""
    said = _plain(answer)
    return all(re.search(rf"(?<!\w){re.escape(_plain(term))}(?!\w)", said) for term in terms)


def _plain(text: str) -> str:
    joined = re.sub(r"(?<=\d)[, ](?=\d{3}(?!\d))", "", text.casefold())
    return re.sub(r"[a-z]+", lambda word: _NUMBERS.get(word[0], word[0]), joined)


def _simple(kind: Kind, it: _Cloze) -> Question:
    asked = f'According to "{it.title}", which word or number belongs in the gap: "{it.sentence}"'
    return Question(kind, it.document, asked, (it.term,), (it.place,))


def _double(one: _Cloze, other: _Cloze) -> Question:
    asked = (
        f'According to "{one.title}", which two words or numbers belong in the gaps: "{one.sentence}" and '
        f'"{other.sentence}"'
    )
    return Question("complex", one.document, asked, (one.term, other.term), (one.place, other.place))


def _pairs(clozes: list[_Cloze]) -> Iterator[tuple[_Cloze, _Cloze]]:
    """The first sentence of a passage with that of another one of the document, each passage once."""
    by_document: dict[str, dict[int, _Cloze]] = {}
    for it in clozes:
        by_document.setdefault(it.document, {}).setdefault(it.place, it)
    for found in by_document.values():
        told = list(found.values())
        yield from ((one, other) for one, other in zip(told[::2], told[1::2], strict=False) if one.term != other.term)


def _clozes(knowledge: Knowledge) -> Iterator[_Cloze]:
    frequency = _documents_with(knowledge)
    common = max(1, knowledge.documents // 3)
    for place, passage in enumerate(knowledge.passages):
        known = {word.lower() for word in _WORD.findall(passage.title)}
        for sentence in _SENTENCE.split(passage.text):
            told = " ".join(sentence.split())
            words = _WORD.findall(told)
            if not _FEWEST <= len(words) <= _MOST or not _SHAPE.fullmatch(told):
                continue
            terms = [it for it in _telling(words, known) if frequency[it.lower()] <= common]
            if terms:
                term = min(terms, key=lambda it: (_rank(it), frequency[it.lower()], -len(it), it))
                gap = re.sub(rf"(?<!\w){re.escape(term)}(?!\w)", GAP, told)
                yield _Cloze(place, passage.document_id, passage.title, gap, term)


def _telling(words: list[str], known: set[str]) -> list[str]:
    """Words that stand once, are not in the title, and are numbers, names or long."""
    lower = [word.lower() for word in words]
    return [
        word
        for number, word in enumerate(words)
        if lower.count(word.lower()) == 1
        and word.lower() not in known
        and (word[0].isdigit() or (number > 0 and word[0].isupper() and len(word) > 2) or len(word) >= _LONG)
    ]


def _rank(term: str) -> int:
    return 0 if term[0].isdigit() else 1 if term[0].isupper() else 2


def _documents_with(knowledge: Knowledge) -> dict[str, int]:
    """In how many documents each word stands."""
    found: dict[str, set[str]] = {}
    for passage in knowledge.passages:
        for word in _WORD.findall(passage.text.lower()):
            found.setdefault(word, set()).add(passage.document_id)
    return {word: len(documents) for word, documents in found.items()}
