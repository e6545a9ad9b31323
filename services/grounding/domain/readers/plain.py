"""Plain text: paragraphs between blank lines; form feeds part pages."""

import re

from services.grounding.domain.blocks import Block, Structure

_BLANK = re.compile(r"\n\s*\n")


def read_plain(text: str) -> Structure:
    """Paragraphs in order, with page numbers where the text has form feeds."""
    pages = text.replace("\r\n", "\n").split("\f")
    return Structure(
        [
            Block("paragraph", paragraph.strip("\n"), page=number if len(pages) > 1 else None)
            for number, page in enumerate(pages, 1)
            for paragraph in _BLANK.split(page)
            if paragraph.strip()
        ]
    )
