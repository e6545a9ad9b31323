"""A text as its author may have meant it: folded, and with disguises taken off (spacing, leet, look-alikes, encodings).

Each reading is searched for phrases; most texts have one reading only.
"""

import base64
import binascii
import html
import re
from collections.abc import Iterator
from urllib.parse import unquote

from libs.personal_data import plain

_SPACE = re.compile(r"\s+")
_LONE_LETTERS = re.compile(r"[\s.\-*|/]\w[\s.\-*|/]{1,3}\w[\s.\-*|/]")
_SPACED = re.compile(r"(?:(?<!\w)\w[\s.\-*|/]{1,3}){5,}\w(?!\w)")
_LEET = re.compile(r"[a-z][0134578@$][a-z]|[a-z]{2}[0134578@$]|[0134578@$][a-z]{2}")
_LEET_LETTERS = str.maketrans("0134578@$", "oieastbas")
_CYRILLIC_OR_GREEK = re.compile(r"[\u0370-\u04ff]")
_LATIN = re.compile(r"[a-z]")
_LOOKALIKES = str.maketrans(
    "авесіјкмнорԁѕтухѵһԛԝαβεικνορτυχ", "abecijkmhopdstyxvhqwabeikvoptux"
)  # fmt: skip
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20,}={0,2}")
_HEX = re.compile(r"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{2}[ ]?){12,}")
_TAGS = re.compile("[\U000e0020-\U000e007e]+")


def readings(text: str) -> Iterator[str]:
    """Folded readings of a text, the plain one first. All together they are linear in its length."""
    folded = fold(text)
    yield folded
    if not folded.isascii() and _CYRILLIC_OR_GREEK.search(folded) and _LATIN.search(folded):
        yield folded.translate(_LOOKALIKES)
    if any(sign in folded for sign in "0134578@$") and _LEET.search(folded):
        yield folded.translate(_LEET_LETTERS)
    yield from (fold(hidden) for hidden in _decoded(text))


def squeezed(folded: str) -> str:
    """Letters that stand one by one (`i g n o r e`) drawn together; empty for ordinary text."""
    if not _LONE_LETTERS.search(folded):
        return ""
    return " ".join(re.sub(r"\W+", "", match.group()) for match in _SPACED.finditer(folded))


def fold(text: str) -> str:
    """Lower case, one space between words, typographic quotes plain, hidden characters gone."""
    return _SPACE.sub(" ", plain(text).text.casefold()).replace("\u2019", "'")


def _decoded(text: str) -> Iterator[str]:
    blobs = (_text_of(_from_base64(match.group())) for match in _BASE64.finditer(text))
    yield from (blob for blob in blobs if blob)
    if any(digit in text for digit in "234567"):  # printable ASCII in hex is full of them
        yield from _hexadecimal(text)
    if "&#" in text:
        yield html.unescape(text)
    if "%20" in text:
        yield unquote(text)
    if not text.isascii() and (tags := "".join(_TAGS.findall(text))):
        yield "".join(chr(ord(tag) - 0xE0000) for tag in tags)


def _hexadecimal(text: str) -> Iterator[str]:
    return (blob for match in _HEX.finditer(text) if (blob := _text_of(_from_hex(match.group()))))


def _from_base64(blob: str) -> bytes:
    bare = blob.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(bare[: len(bare) - (len(bare) % 4 == 1)] + "=" * (-len(bare) % 4))
    except binascii.Error:
        return b""


def _from_hex(blob: str) -> bytes:
    try:
        return bytes.fromhex(blob)
    except ValueError:
        return b""


def _text_of(raw: bytes) -> str:
    """The bytes as text if they are text: UTF-8 that is nearly all printable."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return ""
    printable = sum(character.isprintable() or character.isspace() for character in text)
    return text if printable >= 0.9 * len(text) else ""
