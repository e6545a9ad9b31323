"""The layer from hidden states to the vocabulary, computed in pieces on a CPU: for a few rows that is faster.

MKL prepares a weight matrix anew for every product. A piece of it stays in the core's cache meanwhile; the 113 MB of a
vocabulary of 49 152 tokens do not (docs/experiments.md).
"""

from typing import Any

import torch
from torch import nn

_PIECE = 768
"""Tokens of the vocabulary."""


class OutputInPieces(nn.Module):
    """Stands in for an `nn.Linear` without a bias at inference, and shares its weights."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in] to [..., vocabulary]."""
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) == 1:
            # A single row reads the weights once whatever the order.
            return nn.functional.linear(x, self.weight)
        y = rows.new_empty(len(rows), len(self.weight))
        for weight, part in zip(torch.split(self.weight, _PIECE), torch.split(y, _PIECE, dim=1), strict=True):
            torch.mm(rows, weight.T, out=part)
        return y.reshape(*x.shape[:-1], -1)


def compute_output_in_pieces(model: Any) -> None:
    """Changes a transformers model where that is faster; any other stays as it is."""
    layer = model.get_output_embeddings()
    if type(layer) is nn.Linear and _is_faster(layer.weight, layer.bias):
        model.set_output_embeddings(OutputInPieces(layer))


def _is_faster(weight: torch.Tensor, bias: torch.Tensor | None) -> bool:
    """In float32 on a CPU, by MKL."""
    with_mkl: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    return with_mkl and bias is None and weight.device.type == "cpu" and weight.dtype is torch.float32
