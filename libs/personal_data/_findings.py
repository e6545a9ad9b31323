"""What detectors of personal data report: which kind of value stands where, and who wins where two overlap."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

EntityType = Literal[
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "CREDIT_CARD",
    "IBAN",
    "IP_ADDRESS",
    "US_SSN",
    "UK_NINO",
    "DE_TAX_ID",
    "FR_NIR",
    "ES_NIF",
    "IT_FISCAL_CODE",
    "NL_BSN",
    "BE_NATIONAL_NUMBER",
    "PL_PESEL",
    "SE_PERSONAL_NUMBER",
    "BR_CPF",
    "IN_AADHAAR",
    "API_KEY",
    "JWT",
    "PRIVATE_KEY",
    "PASSWORD",
    "URL_CREDENTIALS",
]
ENTITY_TYPES: tuple[EntityType, ...] = get_args(EntityType)

GUESSES: frozenset[EntityType] = frozenset({"PHONE_NUMBER", "PASSWORD", "NL_BSN", "IN_AADHAAR", "PL_PESEL"})
"""Found by shape and neighbourhood; a type with a checksum or a prefix of its own is more specific."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One value: characters `start` to `end` (exclusive) of the text that was searched."""

    start: int
    end: int
    entity_type: EntityType


def without_overlaps(findings: Iterable[Finding]) -> list[Finding]:
    """The longest of each overlapping group, then the more specific, in reading order. O(n log n)."""
    kept: list[Finding] = []
    for finding in sorted(findings):
        if not kept or finding.start >= kept[-1].end:
            kept.append(finding)
        elif _weight(finding) > _weight(kept[-1]):
            kept[-1] = finding
    return kept


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for each overlapping group, over all of it, of the kind that `without_overlaps` would keep."""
    kept: list[Finding] = []
    heaviest: tuple[int, bool, int] = (0, False, 0)
    for finding in sorted(findings):
        weight = (*_weight(finding), -ENTITY_TYPES.index(finding.entity_type))
        if kept and finding.start < kept[-1].end:
            kind = finding.entity_type if weight > heaviest else kept[-1].entity_type
            kept[-1] = Finding(kept[-1].start, max(kept[-1].end, finding.end), kind)
            heaviest = max(weight, heaviest)
        else:
            kept.append(finding)
            heaviest = weight
    return kept


def outside(findings: Iterable[Finding], holes: Sequence[Finding]) -> Iterator[Finding]:
    """What of the findings lies outside of the holes. Both in reading order, without overlaps."""
    starts = [hole.start for hole in holes]
    for finding in findings:
        past = finding.start
        for hole in holes[bisect_left(starts, finding.start) : bisect_left(starts, finding.end)]:
            if past < hole.start:
                yield Finding(past, hole.start, finding.entity_type)
            past = hole.end
        if past < finding.end:
            yield Finding(past, finding.end, finding.entity_type)


def _weight(finding: Finding) -> tuple[int, bool]:
    return finding.end - finding.start, finding.entity_type not in GUESSES
