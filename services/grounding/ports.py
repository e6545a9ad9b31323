"""What grounding needs from outside: an index of passages, and a way to count the language model's tokens."""

from collections.abc import Mapping
from typing import Protocol

from schemas.documents import DocumentIndexed
from services.grounding.domain.indexing import Head
from services.grounding.domain.retrieval import Hit, Search
from services.grounding.domain.tokens import TokenCounter

__all__ = ["ChunkIndex", "Positions", "TokenCounter"]


class ChunkIndex(Protocol):
    """Finds passages. What it holds is a view of the topic document-indexed; doing a write twice is harmless."""

    async def write(self, part: DocumentIndexed) -> None:
        """Takes in one part. The last part drops the document's other versions; a deletion drops them all.

        Vectors must be of the index's own embedding model. Raises Retryable if the index is away.
        """

    async def head(self, tenant: str, document_id: str) -> Head | None:
        """The newest version that is whole in the index."""

    async def search(self, search: Search) -> list[Hit]:
        """The nearest passages of the tenant, best first by fused rank. Raises Retryable if the index is away."""


class Positions(Protocol):
    """How far into the log an index has come, kept in the index itself."""

    def positions(self) -> Mapping[int, int]:
        """The next offset to apply, by partition."""

    async def reached(self, partition: int, offset: int) -> None:
        """All below `offset` is applied."""
