"""Linear layers with int8 weights for CPUs without bfloat16 units: half the memory, two to seven times the speed.

Weights: one scale per output channel. Activations: one scale per row, in two 7-bit limbs (about 13 bits together),
both multiplied in one pass. Sums are exact integers, so a row's result does not depend on the rows beside it; torch's
own dynamic quantization shares one 7-bit scale among all rows of a batch, which costs a nat per token here
(docs/experiments.md).
"""

import warnings

import torch
from torch import nn

_LIMB = 63
"""The kernel adds pairs of products in 16 bits: with 7-bit activations they cannot overflow."""


class Int8Linear(nn.Module):
    """Stands in for an `nn.Linear` at inference, on the CPU. Output in float32."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._packed = _pack(linear.weight.detach().float(), linear.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., in] to [..., out]."""
        rows = x.float().reshape(-1, x.shape[-1])
        scale = rows.abs().amax(-1, keepdim=True).clamp_min(1e-12) / _LIMB
        scaled = rows / scale
        high = scaled.round()
        low = (scaled - high) * (2 * _LIMB)
        y = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            torch.cat([high, low]), 1.0, _LIMB + 1, self._packed
        )
        y = torch.addcmul(y[: len(rows)], y[len(rows) :], torch.tensor(1 / (2 * _LIMB))) * scale
        return y.reshape(*x.shape[:-1], -1)


def _pack(weight: torch.Tensor, bias: torch.Tensor | None) -> object:
    if bias is not None:
        raise ValueError("int8 does not support linear layers with a bias; choose another precision")
    scales = (weight.abs().amax(1).clamp_min(1e-12) / 127).double()
    zeros = torch.zeros(len(scales), dtype=torch.long)
    with warnings.catch_warnings():
        # torch deprecates quantized tensor types; the packed kernels have no successor in torch itself yet.
        warnings.simplefilter("ignore")
        quantized = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        return torch.ops.quantized.linear_prepack(quantized, None)


def quantize(model: nn.Module) -> nn.Module:
    """Replaces every linear layer in place; the rest computes in float32."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, Int8Linear(child))
    return model.float()
