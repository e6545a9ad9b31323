"""E-mail addresses and telephone numbers.

E-mail is searched outwards from each `@` within the lengths RFC 5321 allows, so that the cost stays linear.
Telephone numbers are digit runs that libphonenumber's rules accept: with a country code anywhere, in a national
format of the given regions, or after a word such as "phone".
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import phonenumbers

from libs.personal_data._digits import Run, digits_of, said_before, separators_of
from libs.personal_data._findings import Finding

_DOMAIN = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,24})(?![^\W\d_])", re.IGNORECASE
)
_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{0,63}[\w+-]\Z")
_SPELT_OUT = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}\s?[(\[{]\s?at\s?[)\]}]\s?(?:[\w-]{1,63}(?:\s?[(\[{]\s?dot\s?[)\]}]\s?|\.)){1,5}[a-z]{2,24}\b",
    re.IGNORECASE,
)
_FILE_ENDINGS = frozenset(["png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css", "html", "json"])
_PHONE_WORDS = re.compile(
    r"phone|\btel|\bcall|mobil|\bcell|\bfax|whatsapp|\bsms\b|\bhandy|rufnummer|rueckruf|rückruf|t[ée]l[ée]phone|portable"
    r"|tel[ée]fono|m[óo]vil|cellulare|telefo|celular|numer telefonu|телефон|电话|電話|手机|携帯|전화",
    re.IGNORECASE,
)


def find_emails(text: str) -> Iterator[Finding]:
    """E-mail addresses, international ones and `name (at) host (dot) tld` too."""
    position = text.find("@")
    while position >= 0:
        if (finding := _email_around(text, position)) is not None:
            yield finding
        position = text.find("@", position + 1)
    if "at" in text.lower() and any(bracket in text for bracket in "([{"):
        yield from (Finding(*match.span(), "EMAIL_ADDRESS") for match in _SPELT_OUT.finditer(text))


def _email_around(text: str, at: int) -> Finding | None:
    domain = _DOMAIN.match(text, at + 1)
    if domain is None or domain.group().rpartition(".")[2].lower() in _FILE_ENDINGS:
        return None
    reach = max(0, at - 64)
    local = _LOCAL.search(text[reach:at])
    if local is None:
        return None
    name = local.group().lstrip("'`.*/=|{")
    ssh_remote = name == "git" and text[domain.end() : domain.end() + 1] == ":"
    return Finding(at - len(name), domain.end(), "EMAIL_ADDRESS") if name and not ssh_remote else None


def find_phones(text: str, runs: Iterable[Run], regions: Sequence[str]) -> Iterator[Finding]:
    """Telephone numbers among the runs. `regions`: ISO country codes whose national formats count."""
    for run in runs:
        past = 0
        for first in _starts(run, american="US" in regions):
            if first >= past and (last := _phone_end(text, run, first, regions)) is not None:
                start, end = run.groups[first][0], run.groups[last][1]
                yield Finding(_opening(text, start, end), end, "PHONE_NUMBER")
                past = last + 1


def _starts(run: Run, *, american: bool) -> Iterator[int]:
    """Groups a number may begin with: the first, and any that opens a 3-3-4 pattern."""
    yield 0
    sizes = [end - start for start, end in run.groups]
    if american:
        yield from (i for i in range(1, len(sizes)) if [3, 3, 4] in (sizes[i : i + 3], sizes[i + 1 : i + 4]))


def _phone_end(text: str, run: Run, first: int, regions: Sequence[str]) -> int | None:
    start = run.groups[first][0]
    before = text[start - 1 : start]
    if before.isalpha() or before in ("_", "#", "$", "€", "£"):
        return None
    said = first == 0 and said_before(text, start, _PHONE_WORDS, reach=32)
    for last, digits in reversed(run.windows(first, 15)):
        if digits >= 7 and _is_phone(text, run, (first, last), regions, plus=before == "+", said=said):
            return last
    return None


def _opening(text: str, start: int, end: int) -> int:
    """Where a number begins: with its plus sign, and with a parenthesis that it closes itself."""
    if text[start - 1 : start] == "+":
        start -= 1
    return start - 1 if text[start - 1 : start] == "(" and ")" in text[start:end] else start


def _is_phone(text: str, run: Run, span: tuple[int, int], regions: Sequence[str], *, plus: bool, said: bool) -> bool:
    if text[run.groups[span[1]][1] : run.groups[span[1]][1] + 1].isalpha():
        return False
    digits = digits_of(text, run, *span)
    if plus:
        return len(digits) >= 8 and _possible("+" + digits, None)
    sizes = [end - start for start, end in run.groups[span[0] : span[1] + 1]]
    if _like_a_date(digits, sizes) or _like_a_decimal(digits, separators_of(text, run, *span)):
        return False
    if sizes[-3:] == [3, 3, 4] and sizes[:-3] in ([], [1]) and "US" in regions:
        return _possible(digits, "US")
    if digits[0] == "0" and len(sizes) > 1 and span[0] == 0:
        return any(_valid(digits, region) for region in regions)
    return said and any(_possible(digits, region) for region in regions)


def _like_a_date(digits: str, sizes: list[int]) -> bool:
    if sizes[:3] == [4, 2, 2]:
        return "1000" <= digits[:4] < "3000" and digits[4:6] <= "12" and digits[6:8] <= "31"
    day_first = sizes[:3] == [2, 2, 4] or sizes == [2, 2, 2]
    return day_first and digits[:2] <= "31" and digits[2:4] <= "31"


def _like_a_decimal(digits: str, separators: list[str]) -> bool:
    return digits[0] == "0" and separators == ["."]


def _possible(number: str, region: str | None) -> bool:
    parsed = _parsed(number, region)
    return parsed is not None and phonenumbers.is_possible_number(parsed)


def _valid(number: str, region: str) -> bool:
    parsed = _parsed(number, region)
    return parsed is not None and phonenumbers.is_valid_number(parsed)


def _parsed(number: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
