"""Files as documents: which suffix is which media type, what a file's id is, what its event holds."""

import base64
from dataclasses import dataclass
from pathlib import PurePath

from libs.bus import MAX_EVENT_BYTES, encode
from schemas.documents import DocumentSubmitted, MediaType
from services.console.domain.errors import ConsoleError

MEDIA_TYPES: dict[str, MediaType] = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".txt": "text/plain",
    ".pdf": "application/pdf",
}


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """What became of one document: `indexed`, `unchanged`, `deleted` or `refused`."""

    document_id: str
    status: str
    code: str | None = None
    message: str | None = None
    chunks: int = 0


def media_type_of(path: PurePath) -> MediaType | None:
    """By suffix; None for files that are no documents."""
    return MEDIA_TYPES.get(path.suffix.lower())


def document_of(
    document_id: str, media_type: MediaType, content: bytes, tenant: str, collection: str
) -> DocumentSubmitted:
    """The event for a file's content. Raises ConsoleError for content that cannot be sent."""
    if not content:
        raise ConsoleError("the file is empty")
    text, encoded = None, None
    if media_type == "application/pdf":
        encoded = base64.b64encode(content).decode()
    else:
        text = _text(content)
    event = DocumentSubmitted(
        document_id=document_id,
        tenant=tenant,
        collection=collection,
        media_type=media_type,
        content=text,
        content_base64=encoded,
    )
    size = len(encode(event))
    if size > MAX_EVENT_BYTES:
        raise ConsoleError(f"the document makes an event of {size} bytes, the limit is {MAX_EVENT_BYTES}; split it")
    return event


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConsoleError(f"byte {error.start + 1} is not UTF-8; convert the file first") from None
