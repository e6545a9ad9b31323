"""What a forward pass reads and writes in the slot cache: which rows, which positions, which tokens see which."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch


@dataclass(frozen=True)
class View:
    """A forward pass, or a part of one: `rows` by their index, `positions` of shape [rows, tokens]."""

    rows: slice
    positions: torch.Tensor
    length: int
    """Positions attended to at most."""

    @cached_property
    def mask(self) -> torch.Tensor:
        """[rows, 1, tokens, length]. A token attends to all positions before its own, and to itself."""
        places = torch.arange(self.length, device=self.positions.device)
        return (places <= self.positions[:, :, None])[:, None]


@dataclass(frozen=True)
class PackedView:
    """A forward pass of one sequence, in which the tokens of these parts follow one another, row by row."""

    parts: Sequence[View]

    @cached_property
    def rows(self) -> torch.Tensor:
        """The row of each token, [tokens]."""
        return torch.cat([_rows(part) for part in self.parts])

    @cached_property
    def positions(self) -> torch.Tensor:
        """The position of each token in its row, [tokens]."""
        return torch.cat([part.positions.flatten() for part in self.parts])


def _rows(part: View) -> torch.Tensor:
    rows = torch.arange(part.rows.start, part.rows.stop, device=part.positions.device)
    return rows.repeat_interleave(part.positions.shape[1])
