"""JSON by construction: masks the tokens that cannot continue a document of the schema. Uses llguidance (MIT).

A schema that cannot be compiled is the requester's error, found before anything runs.
"""

import json
from collections.abc import Mapping
from typing import Any

import llguidance
import torch
from tokenizers import Tokenizer


class InvalidSchema(ValueError):  # noqa: N818 - named after what is wrong
    """The JSON Schema cannot be turned into a grammar; the text says why."""


class GrammarCompiler:
    """Makes one `Grammar` per request for one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, eos_token: int) -> None:
        self._tokenizer = llguidance.LLTokenizer(tokenizer.to_str(), eos_token=eos_token)

    def compile(self, schema: Mapping[str, Any]) -> "Grammar":
        """Raises InvalidSchema."""
        # Free white space would let a small model write blanks until its tokens run out.
        style = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
        text = json.dumps({**schema, "x-guidance": style})
        try:
            matcher = llguidance.LLMatcher(
                self._tokenizer, llguidance.LLMatcher.grammar_from_json_schema(text), log_level=0
            )
        except ValueError as error:
            raise InvalidSchema(f"this JSON Schema is not supported: {error}") from error
        if matcher.is_error():
            raise InvalidSchema(f"this JSON Schema is not supported: {matcher.get_error()}")
        return Grammar(matcher)


class Grammar:
    """Where one generation stands in its document."""

    def __init__(self, matcher: llguidance.LLMatcher) -> None:
        self._matcher = matcher

    @property
    def complete(self) -> bool:
        """The document is whole and nothing can follow."""
        return self._matcher.is_stopped()

    def allow(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits of shape [vocabulary] with every impossible token at minus infinity."""
        bits = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        allowed = (bits[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1
        mask = allowed.flatten()[: logits.shape[-1]].bool().to(logits.device)
        kept = logits.clone()
        kept[: len(mask)].masked_fill_(~mask, -torch.inf)
        kept[len(mask) :] = -torch.inf
        return kept

    def advance(self, token: int) -> None:
        """The chosen token, which must have been allowed."""
        if not self._matcher.consume_token(token):
            raise RuntimeError(f"the grammar refused a token it had allowed: {self._matcher.get_error()}")
