"""The knowledge base's events: a document submitted, accepted, indexed (chunks with vectors), or refused."""

import base64
import binascii
from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from schemas.base import Event, Identifier, Model, Reason, TenantName
from schemas.prompts import CollectionName

MediaType = Literal["text/markdown", "text/html", "text/plain", "application/pdf"]


class DocumentSubmitted(Event):
    """A document is new, changed or (`deleted: true`) gone. Public input on `document-submitted`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    TYPE: ClassVar[str] = "document-submitted"

    document_id: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    tenant: TenantName = "default"
    collection: CollectionName = "default"
    title: str | None = Field(default=None, max_length=512)
    media_type: MediaType = "text/markdown"
    content: str | None = None
    content_base64: str | None = None
    source_uri: str | None = Field(default=None, max_length=2048)
    metadata: dict[str, str] = Field(default_factory=dict, max_length=16)
    deleted: bool = False

    @property
    def key(self) -> str:
        """A document keeps its order."""
        return self.document_id

    @model_validator(mode="after")
    def _one_content_unless_deleted(self) -> Self:
        given = (self.content is not None) + (self.content_base64 is not None)
        if self.deleted and given:
            raise ValueError('a deleted document has neither "content" nor "content_base64"')
        if not self.deleted and given != 1:
            raise ValueError('exactly one of "content" and "content_base64" must be given')
        if self.media_type == "application/pdf" and self.content is not None:
            raise ValueError('a PDF is binary: give it in "content_base64"')
        if self.content_base64 is not None:
            _check_base64(self.content_base64)
        return self


def _check_base64(text: str) -> None:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f'"content_base64" is not valid base64: {error}') from error


class DocumentBody(Event):
    """What the events of a document carry along."""

    document_id: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    tenant: TenantName
    collection: CollectionName

    @property
    def key(self) -> str:
        """A document keeps its order."""
        return self.document_id


class DocumentAccepted(DocumentBody):
    """A document passed validation. Text is NFC; binary stays base64."""

    TYPE: ClassVar[str] = "document-accepted"

    title: str | None = None
    media_type: MediaType
    content: str | None = None
    content_base64: str | None = None
    source_uri: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    deleted: bool = False
    content_hash: str
    """SHA-256 over media type, title and content; the document's version."""


class IndexedChunk(Model):
    """One passage with its dense vector."""

    ordinal: int = Field(ge=0)
    text: str
    location: str | None = None
    vector: str
    """Base64 of little-endian float16, L2-normalised; its length is the embedding model's dimension."""


class DocumentIndexed(DocumentBody):
    """A part of a document's chunks, embedded once. Compacted; any index can be rebuilt from this topic.

    The last part (`part == parts - 1`) completes `version`: readers then drop the document's other versions.
    """

    TYPE: ClassVar[str] = "document-indexed"

    version: str
    part: int = Field(ge=0)
    parts: int = Field(ge=1)
    title: str | None = None
    source_uri: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    embedding_model: str
    chunks: tuple[IndexedChunk, ...] = ()
    deleted: bool = False

    @property
    def key(self) -> str:
        """Compaction keeps the newest of each part."""
        return f"{self.tenant}/{self.document_id}/{self.part}"


class DocumentRefused(Event):
    """A document could not be taken, and why. Public output on `document-refused`."""

    TYPE: ClassVar[str] = "document-refused"

    document_id: Identifier | str
    tenant: TenantName = "default"
    reason: Reason

    @property
    def key(self) -> str:
        """A document keeps its order."""
        return self.document_id
