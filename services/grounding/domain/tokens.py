"""The measure of what fits: tokens as the language model counts them. Knows no tokenizer."""

from collections.abc import Sequence
from typing import Protocol

from schemas.base import Message


class TokenCounter(Protocol):
    """The language model's tokenizer and chat template."""

    def count(self, text: str) -> int:
        """Tokens of a text."""

    def count_messages(self, messages: Sequence[Message]) -> int:
        """Tokens of a whole prompt, chat template included."""
