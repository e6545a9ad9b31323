"""Token counts by the model's own tokenizer, without loading the model.

For limits (ingestion), budgets (grounding) and the engine. Knows no tensors, no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from libs.language_models.chat import ChatMessage, ChatTemplate
from libs.language_models.prepare import resolve_model


@dataclass(frozen=True)
class TokenCounter:
    """A model's tokenizer and chat template. Safe to share between threads."""

    tokenizer: Tokenizer
    template: ChatTemplate

    @classmethod
    def from_folder(cls, folder: Path) -> "TokenCounter":
        """Reads `tokenizer.json` and the chat template. Raises FileNotFoundError naming what is missing."""
        file = folder / "tokenizer.json"
        if not file.exists():
            raise FileNotFoundError(f"{folder} has no tokenizer.json: is it a model folder?")
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        controls = [t.content for t in tokenizer.get_added_tokens_decoder().values() if t.special]
        return cls(tokenizer, ChatTemplate.from_folder(folder, controls))

    @classmethod
    def from_name(cls, name: str) -> "TokenCounter":
        """The embedded default's name, a folder, or a Hugging Face hub id (only its tokenizer is fetched).

        Raises LookupError if the name leads nowhere.
        """
        return cls.from_folder(resolve_model(name, tokenizer_only=True))

    def count(self, text: str) -> int:
        """Tokens of a plain text."""
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    def count_messages(self, messages: Sequence[ChatMessage]) -> int:
        """Tokens of the whole prompt the model will read, chat template included."""
        return len(self.encode_messages(messages))

    def encode_messages(self, messages: Sequence[ChatMessage]) -> list[int]:
        """The prompt's token ids, up to where the assistant begins. Raises InvalidChat."""
        # The template writes the control tokens itself, the beginning-of-text token included.
        return self.tokenizer.encode(self.template.render(messages), add_special_tokens=False).ids

    def truncate(self, text: str, max_tokens: int) -> str:
        """The longest beginning of `text`, cut between characters, of at most `max_tokens` tokens."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        if len(encoding) <= max_tokens:
            return text
        # The last kept token may hold a part of a character only: then the character goes as well.
        end = encoding.offsets[max_tokens][0] if max_tokens > 0 else 0
        while self.count(text[:end]) > max_tokens:
            end -= 1
        return text[:end]
