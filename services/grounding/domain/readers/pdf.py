"""PDF, page by page, through pypdf. Scans hold pictures, not text: they are refused with that reason."""

import io
import logging
import re
from collections.abc import Iterator
from typing import Any

from libs.bus import Rejected
from services.grounding.domain.blocks import Block, Structure

_BLANK = re.compile(r"\n\s*\n")
_HYPHENATED = re.compile(r"(?<=[a-zà-ÿ])-\n(?=[a-zà-ÿ])")
_MAX_PAGES = 2_000
_MAX_CONTENT_BYTES = 2_000_000
"""Drawing instructions of all pages together, unpacked: reading takes some seconds for each million."""


def read_pdf(data: bytes) -> Structure:
    """Paragraphs with their page. Raises Rejected for what is broken, encrypted, too long or without text."""
    # Imported here: 15 MB that only PDFs need.
    from pypdf import PdfReader  # noqa: PLC0415
    from pypdf.errors import PyPdfError  # noqa: PLC0415

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    try:
        reader = PdfReader(io.BytesIO(data))
        locked = reader.is_encrypted and not reader.decrypt("")
        pages = 0 if locked else len(reader.pages)
        title = None if locked or not reader.metadata else reader.metadata.title
        texts = [] if pages > _MAX_PAGES else list(_texts(reader, pages))
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OSError):
        # pypdf lets parsing errors of many kinds through; all of them mean that these bytes are no sound PDF.
        raise Rejected("the PDF cannot be read; save it again with another tool") from None
    if locked:
        raise Rejected("the PDF is encrypted; send it without a password")
    if pages > _MAX_PAGES:
        raise Rejected(f"the PDF has {pages} pages, the limit is {_MAX_PAGES}; split it")
    blocks = [block for number, text in enumerate(texts, 1) for block in _paragraphs(text, number)]
    if not blocks:
        raise Rejected("the PDF holds no text, perhaps only scanned pictures; run text recognition on it first")
    return Structure(blocks, str(title).strip() or None if title else None)


def _texts(reader: Any, pages: int) -> Iterator[str]:
    left = _MAX_CONTENT_BYTES
    for number in range(pages):
        page = reader.pages[number]
        contents = page.get_contents()
        left -= len(contents.get_data()) if contents is not None else 0
        if left < 0:
            raise Rejected(f"the PDF unpacks to more than {_MAX_CONTENT_BYTES} bytes of page content; split it")
        yield page.extract_text()


def _paragraphs(text: str, page: int) -> Iterator[Block]:
    joined = _HYPHENATED.sub("", text.replace("\x00", ""))
    for paragraph in _BLANK.split(joined):
        if paragraph.strip():
            yield Block("paragraph", paragraph.strip(), page=page)
