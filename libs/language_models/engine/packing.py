"""Attention for many generations' tokens in one sequence, so that all else reads the model's weights once for all.

A function in transformers' `AttentionInterface`: linear layers see one matrix of all tokens, attention takes each
part of them to its own rows of the slot cache. Rows that write one token copy no keys and values for the heads that
share them. Knows no requests.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from libs.language_models.engine.views import View

_NAME = "tailrace_packed"
_ROPE_BY_LENGTH = {"dynamic", "longrope"}
"""Rotary embeddings that depend on the longest of the sequences computed together."""


def may_pack(config: PreTrainedConfig) -> bool:
    """Whether nothing in the config says that packing cannot work. The proof is to try it: see `Runner`."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = {rope.get("rope_type"), *(kind.get("rope_type") for kind in rope.values() if isinstance(kind, dict))}
    return config._attn_implementation == "sdpa" and not kinds & _ROPE_BY_LENGTH  # noqa: SLF001 - transformers has no other name for it


@contextmanager
def slot_attention(config: PreTrainedConfig) -> Iterator[None]:
    """The model attends by `_attend` meanwhile. Whoever else calls the model gets what sdpa gives."""
    config._attn_implementation = _NAME  # noqa: SLF001
    try:
        yield
    finally:
        config._attn_implementation = "sdpa"  # noqa: SLF001


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    slot_views: Sequence[View] = (),
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """`query` is [1, heads, tokens, size]; `key` and `value` are the whole cache's. Result [1, tokens, heads, size].

    Each part is computed as it would be by itself, so its result has the same bits.
    """
    if rest.get("position_bias") is not None:
        raise ValueError("a bias by position cannot be packed")
    if not slot_views:
        return _attend_to_rows(module, query, key, value, attention_mask, rest), None
    found, start = [], 0
    for view in slot_views:
        rows, tokens = view.positions.shape
        part = query[0, :, start : start + rows * tokens].reshape(-1, rows, tokens, query.shape[-1]).transpose(0, 1)
        keys, values = key[view.rows, :, : view.length], value[view.rows, :, : view.length]
        found.append(_attend_to_rows(module, part, keys, values, view.mask, rest).flatten(0, 1))
        start += rows * tokens
    return torch.cat(found)[None], None


def _attend_to_rows(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    rest: Mapping[str, Any],
) -> torch.Tensor:
    """`query` is [rows, heads, tokens, size]; result [rows, tokens, heads, size]."""
    rows, heads, tokens, size = query.shape
    if tokens > 1 or mask is None:
        output: torch.Tensor = sdpa_attention_forward(module, query, key, value, mask, **rest)[0]
        return output
    # The heads of a group take the place of tokens: they all see the same keys, and what one token may see.
    grouped = query.reshape(rows, key.shape[1], -1, size)
    found = scaled_dot_product_attention(grouped, key, value, attn_mask=mask, scale=rest.get("scaling"))
    return found.reshape(rows, 1, heads, size)


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, sdpa_mask)
