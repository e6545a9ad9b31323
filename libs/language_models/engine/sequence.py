"""One generation under way: its tokens, its text so far, when it ends, and who listens. Knows no batch."""

from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer

from libs.language_models.engine.grammar import Grammar
from libs.language_models.engine.low_rank import LowRank
from libs.language_models.engine.sampling import Sampler
from libs.language_models.engine.text import Detokenizer, StopScanner
from libs.language_models.generation import Delta, Finished, FinishReason
from schemas.base import Lane

Listener = Callable[[Delta | Finished | Exception], None]
"""Called from the engine's thread. A `Finished` or an exception is the last call."""


@dataclass
class Sequence:
    """State of one request, from waiting to done. All but `cancel` belongs to the engine's thread."""

    prompt: SequenceOf[int]
    max_tokens: int
    sampler: Sampler
    stops: SequenceOf[str]
    lane: Lane
    listener: Listener
    tokenizer: Tokenizer
    end_tokens: frozenset[int]
    grammar: Grammar | None = None
    adapter: LowRank | None = None
    read: int = 0
    """How many tokens of the prompt are in the cache."""
    written: list[int] = field(default_factory=list)
    cancelled: bool = False
    _finish: FinishReason | None = None

    def __post_init__(self) -> None:
        self._text = Detokenizer(self.tokenizer)
        self._scanner = StopScanner(self.stops)

    def cancel(self) -> None:
        """From any thread: the engine lets go at its next step. Harmless when done."""
        self.cancelled = True

    @property
    def over(self) -> bool:
        """Whether it needs no further step."""
        return self.cancelled or self._finish is not None

    @property
    def position(self) -> int:
        """Where the last written token goes in the cache."""
        return len(self.prompt) + len(self.written) - 1

    def accept(self, logits: torch.Tensor, greedy: int | None = None) -> None:
        """Chooses the next token from logits of shape [vocabulary] and tells the listener what text it makes.

        `greedy` is the arg max, where the batch has computed it already.
        """
        token = self._choose(logits, greedy)
        self.written.append(token)
        if token in self.end_tokens:
            self._end("stop")
            return
        self._say(self._scanner.push(self._text.push(token)))
        if self._scanner.stopped or (self.grammar is not None and self.grammar.complete):
            self._end("stop")
        elif len(self.written) >= self.max_tokens:
            self._end("length")

    def _choose(self, logits: torch.Tensor, greedy: int | None) -> int:
        if self.grammar is None:
            if greedy is not None and self.sampler.is_plain:
                return greedy
            return self.sampler.choose(logits, self.written)
        # The same brackets and quotes come again and again in JSON: no penalty there.
        token = self.sampler.choose(self.grammar.allow(logits))
        self.grammar.advance(token)
        return token

    def _say(self, text: str) -> None:
        if text:
            self.listener(Delta(text))

    def _end(self, reason: FinishReason) -> None:
        self._finish = reason
        if not self._scanner.stopped:
            self._say(self._scanner.flush())
        seed = self.sampler.seed if self.sampler.temperature > 0 else None
        self.listener(Finished(reason, len(self.prompt), len(self.written), seed))

    def fail(self, error: Exception) -> None:
        """Ends it with an error."""
        self.cancelled = True
        self.listener(error)
