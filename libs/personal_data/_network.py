"""IP addresses and URLs that carry a password.

A dotted quad after a word such as "version" or "section" is a version, not an address. Loopback, unspecified and
broadcast addresses name nobody.
"""

import ipaddress
import re
from collections.abc import Iterator

from libs.personal_data._digits import said_before
from libs.personal_data._findings import Finding

_IPV4 = re.compile(r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\w|\.[0-9])")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:.]{3,45}(?![\w:])")
_IPV4_HINT = re.compile(r"[0-9]\.[0-9]{1,3}\.[0-9]")
_IPV6_HINT = re.compile(r":[0-9A-Fa-f]{0,4}:")
_VERSION_WORDS = re.compile(
    r"(?:\bv(?:er(?:sion(?:en)?)?)?|release|build|firmware|section|chapter|clause|§)[. :=]{0,3}\Z", re.IGNORECASE
)
_CREDENTIALS = re.compile(
    r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{1,19}://[^\s/?#:@<>\x00]{0,128}:[^\s/?#<>\x00]{1,256}@"
    r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[\w-]{1,63}(?:\.[\w-]{1,63}){0,10})(?::[0-9]{1,5})?"
)


def find_addresses(text: str) -> Iterator[Finding]:
    """IPv4 and IPv6 addresses."""
    if _IPV4_HINT.search(text):
        yield from (f for match in _IPV4.finditer(text) if (f := _address(text, match)))
    if _IPV6_HINT.search(text):
        yield from (f for match in _IPV6.finditer(text) if (f := _address(text, match)))


def _address(text: str, match: re.Match[str]) -> Finding | None:
    written = match.group().rstrip(".")
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return None
    names_nobody = address.is_loopback or address.is_unspecified or written == "255.255.255.255"
    if names_nobody or _reads_as_something_else(text, match.start(), address):
        return None
    return Finding(match.start(), match.start() + len(written), "IP_ADDRESS")


def _reads_as_something_else(text: str, start: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if address.version == 4:
        return said_before(text, start, _VERSION_WORDS, reach=16)
    return not any(c.isdigit() for c in str(address)) or text[start : start + 2] == "::"


def find_url_credentials(text: str) -> Iterator[Finding]:
    """`scheme://user:password@host`, up to the path."""
    if "://" in text:
        yield from (Finding(*match.span(), "URL_CREDENTIALS") for match in _CREDENTIALS.finditer(text))
