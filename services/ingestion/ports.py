"""What ingestion needs from outside."""

from collections.abc import Sequence
from typing import Protocol

from schemas.base import Message


class TokenCounter(Protocol):
    """Counts tokens as the model will."""

    def count_messages(self, messages: Sequence[Message]) -> int:
        """Tokens of the messages with the chat template around them."""
