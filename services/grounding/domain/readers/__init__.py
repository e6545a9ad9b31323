"""Documents to structure, one module per media type. What cannot be read is `Rejected` with what to do about it."""

import base64
import binascii
from collections.abc import Callable, Mapping

from libs.bus import Rejected
from schemas.documents import DocumentAccepted, MediaType
from services.grounding.domain.blocks import Structure
from services.grounding.domain.readers.html import read_html
from services.grounding.domain.readers.markdown import read_markdown
from services.grounding.domain.readers.pdf import read_pdf
from services.grounding.domain.readers.plain import read_plain

_TEXT: Mapping[MediaType, Callable[[str], Structure]] = {
    "text/markdown": read_markdown,
    "text/html": read_html,
    "text/plain": read_plain,
}

__all__ = ["read_document", "read_html", "read_markdown", "read_pdf", "read_plain"]


def read_document(document: DocumentAccepted) -> Structure:
    """The document's structure. Raises Rejected if it cannot be read or holds no text."""
    if document.media_type == "application/pdf":
        structure = read_pdf(_bytes(document))
    else:
        structure = _TEXT[document.media_type](_text(document))
    if not structure.blocks:
        raise Rejected(f"the {document.media_type} document holds no text; send one that does, or delete it")
    return structure


def _bytes(document: DocumentAccepted) -> bytes:
    try:
        return base64.b64decode(document.content_base64 or "", validate=True)
    except binascii.Error:
        raise Rejected('"content_base64" is not valid base64; encode the bytes of the file again') from None


def _text(document: DocumentAccepted) -> str:
    if document.content is not None:
        return document.content
    try:
        return _bytes(document).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Rejected(
            f'"content_base64" of a {document.media_type} document must be UTF-8; byte {error.start} is not'
        ) from None
