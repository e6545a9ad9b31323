"""Texts as the models read them: by the tokenizer and chat template of the base.

For likelihoods as TRL's trainers tokenize a row; for prompts that are to be answered as serving does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from libs.language_models import TokenCounter
from libs.language_models.chat import InvalidChat

Chat = Sequence[Mapping[str, str]]


@dataclass(frozen=True, order=True)
class Tokens:
    """A text; from `start` on its tokens count."""

    ids: tuple[int, ...]
    start: int

    @property
    def counted(self) -> int:
        """How many."""
        return len(self.ids) - self.start


@dataclass(frozen=True)
class _Said:
    role: str
    content: str


class Reader:
    """`most`: tokens of a text that are looked at; what lies beyond is cut off, as in training."""

    def __init__(self, base: Path, most: int) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(base)
        self._counter = TokenCounter.from_folder(base)
        self.most = most

    @property
    def ends(self) -> frozenset[int]:
        """The token that ends an answer, as far as the tokenizer knows."""
        return frozenset(it for it in (self._tokenizer.eos_token_id,) if it is not None)

    def completions(self, prompt: Chat, *completions: Chat) -> tuple[Tokens, ...] | None:
        """Each after the prompt, its end token included; None: the prompt alone is too long."""
        asked = self._ids(prompt, add_generation_prompt=True)
        whole = [self._ids([*prompt, *completion]) for completion in completions]
        start = min(common(asked, ids) for ids in whole)
        found = tuple(Tokens(tuple(ids[: self.most]), start) for ids in whole)
        return found if all(it.counted > 0 for it in found) else None

    def text(self, text: str) -> Tokens:
        """A plain text; its first token is given."""
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return Tokens(tuple(ids[: self.most]), 1)

    def prompt(self, messages: Chat) -> list[int]:
        """Up to where the assistant begins."""
        told = [_Said(it["role"], it["content"]) for it in messages]
        try:
            return self._counter.encode_messages(told)
        except InvalidChat:
            # Some templates know no system message.
            first, *rest = told
            if first.role != "system" or not rest:
                raise
            joined = _Said(rest[0].role, f"{first.content}\n\n{rest[0].content}")
            return self._counter.encode_messages([joined, *rest[1:]])

    def written(self, ids: Sequence[int]) -> str:
        """The text of an answer."""
        return self._counter.tokenizer.decode(list(ids), skip_special_tokens=True).strip()

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return self._counter.count(text)

    def cut(self, text: str, most: int) -> str:
        """Its beginning of so many tokens."""
        return self._counter.truncate(text, most)

    def _ids(self, messages: Chat, **options: bool) -> list[int]:
        found = self._tokenizer.apply_chat_template(list(messages), tokenize=True, return_dict=True, **options)
        return list(found["input_ids"])


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the beginning that both share.

    Where the template renders the prompt alone otherwise, the completion begins there.
    """
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
