"""One row of logits to one token. A row's random numbers come from its own generator, so its mates do not matter."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

_USUALLY_ENOUGH = 1024
"""Tokens that hold the nucleus nearly always; a full sort of the vocabulary costs ten times as much."""


@dataclass
class Sampler:
    """Greedy at temperature 0; else temperature and nucleus sampling (Holtzman et al. 2020, arXiv:1904.09751)."""

    temperature: float
    top_p: float
    seed: int
    repetition_penalty: float = 1.0
    _generator: torch.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Always on the CPU: the same seed draws the same numbers whatever the model runs on.
        self._generator = torch.Generator("cpu")
        self._generator.manual_seed(self.seed)

    @property
    def is_plain(self) -> bool:
        """Whether the arg max of the logits is what it would choose."""
        return self.temperature == 0 and self.repetition_penalty == 1

    def choose(self, logits: torch.Tensor, written: Sequence[int] = ()) -> int:
        """A token id from logits of shape [vocabulary]. Raises ValueError if they hold no usable number.

        `written` are the tokens that the repetition penalty makes less likely.
        """
        if self.repetition_penalty != 1 and written:
            logits = penalised(logits, written, self.repetition_penalty)
        if self.temperature == 0:
            return int(logits.argmax())
        probabilities = torch.softmax(logits.float().cpu() / self.temperature, dim=-1)
        if not bool(probabilities.isfinite().all()):
            raise ValueError("the model's logits are not numbers")
        return self._draw(*self._nucleus(probabilities))

    def _nucleus(self, probabilities: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Probabilities of the smallest set that holds `top_p`, and its token ids (None: all, in order)."""
        if self.top_p >= 1:
            return probabilities, None
        values, ids = probabilities.topk(min(_USUALLY_ENOUGH, probabilities.numel()))
        if float(values.sum()) < self.top_p:
            values, ids = probabilities.sort(descending=True)
        before = values.cumsum(0) - values
        return values[before < self.top_p], ids

    def _draw(self, values: torch.Tensor, ids: torch.Tensor | None) -> int:
        """Inverse transform sampling: one uniform number a token."""
        heights = values.double().cumsum(0)
        mark = torch.rand((), generator=self._generator, dtype=torch.float64) * heights[-1]
        index = min(int(torch.searchsorted(heights, mark, right=True)), len(heights) - 1)
        return index if ids is None else int(ids[index])


def penalised(logits: torch.Tensor, written: Sequence[int], penalty: float) -> torch.Tensor:
    """Logits of shape [vocabulary] with those of `written` divided by the penalty (multiplied where negative)."""
    ids = torch.tensor(sorted(set(written)), device=logits.device)
    scores = logits[ids]
    changed = logits.clone()
    changed[ids] = torch.where(scores < 0, scores * penalty, scores / penalty)
    return changed
