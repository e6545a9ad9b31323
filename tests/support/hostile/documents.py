"""Documents that mean harm: too deep, too wide, bombs, and files that are not what they say."""

import base64
import zlib
from functools import cache
from random import Random
from typing import Any

from tests.support.hostile.bodies import PERSON

_LAUGHS = "<!DOCTYPE x [" + "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(10)) + "]><p>&a10;</p>"
_HTML = (
    *(
        "<div>" * 4_000 + "x",
        "<ul><li>" * 1_000 + "x",
        "<b>" * 5_000,
        "<p>" * 5_000 + "x",
        "<" * 100_000,
        "<!--" * 20_000,
    ),
    *(
        "<table><tr><td>" * 3_000 + "x",
        "&#x0;&#xD800;&#x110000;&#99999999999;" * 500,
        _LAUGHS,
        "<a href='" + "x" * 100_000,
    ),
    *(
        "<script>" * 2_000,
        "<p " + "a=1 " * 30_000 + ">x",
        "<h1>" * 2_000 + "x",
        "\x00<p>\x00x</p>",
        "<![CDATA[" * 9_000,
        "<svg>" * 2_000,
    ),
)
_MARKDOWN = (
    *(
        "> " * 20_000 + "x",
        "- " * 5_000 + "x",
        "[" * 20_000,
        "*a **a " * 3_000,
        "`" * 50_000 + "x",
        "![](" * 10_000,
        "<div>" * 9_000,
    ),
    *(
        "|a" * 3_000 + "\n" + "|-" * 3_000 + "\n" + "|b" * 3_000,
        "---\n" * 5_000,
        "[a]: b\n" * 5_000 + "[a]",
        "&" * 50_000,
        "# " * 9_000,
    ),
    *(
        "\\" * 50_000,
        "[x](" + "(" * 20_000,
        "_" * 50_000 + "a",
        "1. " * 5_000 + "x",
        "---\ntitle: " + PERSON + "\n---\n",
        "\t" * 20_000 + "x",
    ),
)
_PLAIN = (
    "x" * 300_000,
    "\n" * 300_000,
    "\x00" * 1_000,
    " ",
    "\u0345" * 30_000,
    "\ufdfa" * 20_000,
    ". " * 30_000,
    "a\n\n" * 3_000,
    "\ufeff",
)


def content(body: dict[str, Any], random: Random) -> tuple[str, dict[str, Any]]:
    """The document with hostile content, and of which sort."""
    bare = {
        name: value
        for name, value in body.items()
        if name not in ("content", "content_base64", "media_type", "deleted")
    }
    sort = random.choice(["html", "markdown", "plain", "pdf", "pdf", "mismatch", "odd"])
    if sort == "pdf":
        return "pdf", {
            **bare,
            "media_type": "application/pdf",
            "content_base64": base64.b64encode(_pdf(random)).decode(),
        }
    if sort == "mismatch":
        return sort, {
            **bare,
            "media_type": random.choice(["text/html", "application/pdf"]),
            "content_base64": _other(random),
        }
    if sort == "odd":
        return sort, {**bare, **random.choice(_ODD)}
    texts = {"html": _HTML, "markdown": _MARKDOWN, "plain": _PLAIN}[sort]
    return sort, {**bare, "media_type": f"text/{sort}", "content": random.choice(texts)}


_ODD: tuple[dict[str, Any], ...] = (
    {"content": "x", "content_base64": "eA=="},
    {"content_base64": "x" * 5},
    {"content_base64": "====", "media_type": "text/plain"},
    {"content_base64": "\u0435A==", "media_type": "text/plain"},
    {"content": None, "content_base64": None},
    {"deleted": True},
    {"deleted": True, "content": ""},
    {"content": "", "title": "\x00"},
    {"content": "# x", "collection": "../x"},
    {"content": "# x", "collection": "a" * 65},
    {"content": "# x", "source_uri": "javascript:alert(1)"},
    {"content": "# x", "source_uri": "x" * 2_049},
    {"content": "# x", "title": PERSON * 3},
    {"content": "# x", "metadata": {"a" * 100_000: "b" * 100_000}},
    {"content": PERSON, "media_type": "text/rtf"},
    {"content": "%PDF-1.7", "media_type": "application/pdf"},
)


def _other(random: Random) -> str:
    return base64.b64encode(
        random.choice([b"\xff\xfe\x00", random.randbytes(3_000), b"\x89PNG\r\n\x1a\n", b"PK\x03\x04" * 99])
    ).decode()


_CATALOG = b"1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj "
_FONT = b"<</Font<</F1 <</Type/Font/Subtype/Type1/BaseFont/A>>>>>>"
_TRAILER = b"\ntrailer <</Root 1 0 R /Size 9>>\nstartxref\n0\n%%EOF"


@cache
def _pdfs() -> tuple[bytes, ...]:
    bodies = (
        _CATALOG + b"2 0 obj <</Type/Pages/Kids[2 0 R]/Count 1>> endobj",
        b"1 0 obj <</Type/Catalog/Pages 1 0 R>> endobj",
        _CATALOG + b"2 0 obj <</Type/Pages/Count 10000/Kids[" + b"3 0 R " * 10_000 + b"]>> endobj"
        b" 3 0 obj <</Type/Page/Parent 2 0 R>> endobj",
        b"1 0 obj " + b"<</A" * 5_000,
        b"1 0 obj " + b"[" * 20_000,
        *(_one_page(text) for text in (b"\x00" * 9_000_000, b"(x) Tj " * 300_000, b"BT /F1 1 Tf (hello) Tj ET")),
    )
    return tuple(b"%PDF-1.7\n" + body + _TRAILER for body in bodies)


def one_page_pdf(text: bytes) -> bytes:
    """A file of one page with these drawing instructions, packed and without a table of its objects."""
    return b"%PDF-1.7\n" + _one_page(text) + _TRAILER


def _one_page(text: bytes) -> bytes:
    packed = zlib.compress(text, 9)
    page = b"3 0 obj <</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources" + _FONT + b">> endobj "
    stream = b"4 0 obj <</Length %d/Filter/FlateDecode>> stream\n%s\nendstream endobj" % (len(packed), packed)
    return _CATALOG + b"2 0 obj <</Type/Pages/Kids[3 0 R]/Count 1>> endobj " + page + stream


def _pdf(random: Random) -> bytes:
    whole = random.choice(_pdfs())
    return random.choice([whole, whole, whole, whole[: len(whole) // 2], b"%PDF-1.7\n" + random.randbytes(500), b""])
