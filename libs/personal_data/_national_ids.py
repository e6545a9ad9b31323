"""National identity, tax and social security numbers, each with its own check digits (python-stdnum).

Numbers whose shape is common (nine bare digits) count only after a word that names them, such as "SSN".
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from stdnum.be import nn
from stdnum.br import cpf
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.se import personnummer

from libs.personal_data._digits import Run, said_before
from libs.personal_data._findings import EntityType, Finding

Check = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _Kind:
    entity_type: EntityType
    shape: re.Pattern[str]
    is_valid: Check
    said: re.Pattern[str] | None = None
    """Words one of which must stand before."""


def _kind(entity_type: EntityType, shape: str, is_valid: Check, said: str | None = None) -> _Kind:
    words = re.compile(said, re.IGNORECASE) if said else None
    return _Kind(entity_type, re.compile(rf"(?<![\w.-])(?:{shape})(?!\w|[.-]\d)", re.IGNORECASE), is_valid, words)


def _by_shape(_: str) -> bool:
    return True


_SSN = r"(?!000|666|9\d\d)\d{3}%s(?!00)\d{2}%s(?!0000)\d{4}"
_NINO = r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]"
_BSN = r"\d{9}|\d{4}[ .]\d\d[ .]\d{3}|\d{3}[ .]\d{3}[ .]\d{3}"
_BELGIAN = r"rijksregister|registre national|national number|\bniss\b|\binsz\b"
_KINDS = (
    _kind("US_SSN", _SSN % ("([ -])", r"\1"), _by_shape),
    _kind("US_SSN", _SSN % ("", ""), _by_shape, r"\bssn\b|social security"),
    _kind("UK_NINO", _NINO, _by_shape),
    _kind("DE_TAX_ID", r"[1-9]\d[ /]?\d{3}[ /]?\d{3}[ /]?\d{3}", lambda n: idnr.is_valid(n.replace("/", ""))),
    _kind("FR_NIR", r"[12378] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d", nir.is_valid),
    _kind("ES_NIF", r"\d{8}[ -]?[A-Z]", dni.is_valid),
    _kind("ES_NIF", r"[XYZ][ -]?\d{7}[ -]?[A-Z]", nie.is_valid),
    _kind("NL_BSN", _BSN, bsn.is_valid, r"\bbsn\b|burgerservice|sofi"),
    _kind("BE_NATIONAL_NUMBER", r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", nn.is_valid),
    _kind("BE_NATIONAL_NUMBER", r"\d{11}", nn.is_valid, _BELGIAN),
    _kind("PL_PESEL", r"\d{11}", pesel.is_valid, r"pesel"),
    _kind("SE_PERSONAL_NUMBER", r"(?:\d\d)?\d{6}[-+]\d{4}", personnummer.is_valid),
    _kind("BR_CPF", r"\d{3}\.\d{3}\.\d{3}-\d\d", cpf.is_valid),
    _kind("BR_CPF", r"\d{11}", cpf.is_valid, r"\bcpf\b"),
    _kind("IN_AADHAAR", r"\d{4}([ -])\d{4}\1\d{4}", aadhaar.is_valid),
    _kind("IN_AADHAAR", r"\d{12}", aadhaar.is_valid, r"aadhaar|aadhar|\buid(?:ai)?\b"),
)  # fmt: skip
_FISCAL_CODE = _kind(
    "IT_FISCAL_CODE",
    r"[A-Z]{6}[\dLMNP-V]{2}[A-EHLMPR-T][\dLMNP-V]{2}[A-Z][\dLMNP-V]{3}[A-Z]",
    codicefiscale.is_valid,
)
_SIXTEEN = re.compile(r"\b\w{16}\b")
_MARGIN = 4
"""What an id may have around its digits, e.g. `AB 12 34 56 C`."""


def find_national_ids(text: str, runs: Iterable[Run]) -> Iterator[Finding]:
    """National ids of the countries in `EntityType`, searched around runs of digits only, which costs less."""
    for run in runs:
        start, end = max(0, run.groups[0][0] - _MARGIN), run.groups[-1][1] + _MARGIN
        for kind in _KINDS:
            yield from _of_kind(kind, text, start, end)
    for match in _SIXTEEN.finditer(text):
        if not match.group().isalpha():
            yield from _of_kind(_FISCAL_CODE, text, *match.span())


def _of_kind(kind: _Kind, text: str, start: int, end: int) -> Iterator[Finding]:
    for match in kind.shape.finditer(text, start, end):
        named = kind.said is None or said_before(text, match.start(), kind.said)
        if named and kind.is_valid(match.group()):
            yield Finding(*match.span(), kind.entity_type)
