"""Keys and values of many generations in one tensor per layer, behind transformers' `Cache` interface.

Row i belongs to one generation; each row has its own position. Rows in use are kept together at the front, so that
a step works on views, not copies. Knows nothing of requests.
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

BLOCK = 64
"""Lengths are padded to this: then the attention kernels' sums fall the same way whatever the neighbours' length."""


@dataclass
class View:
    """What the next forward pass reads and writes: `rows` by their index, `positions` of shape [rows, tokens]."""

    rows: slice
    positions: torch.Tensor
    length: int
    """Positions attended to at most, a multiple of BLOCK."""


class _SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values, each [slots, heads, capacity, head size]."""

    is_sliding = False

    def __init__(self, owner: "SlotCache") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._owner = owner

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys = self._owner.allocate(key_states)
        self.values = self._owner.allocate(value_states)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes new states at each row's own positions; returns all states of the rows in view."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        view = self._owner.view
        keys, values = self.keys[view.rows], self.values[view.rows]
        row = torch.arange(len(keys), device=keys.device)[:, None]
        keys[row, :, view.positions] = key_states.transpose(1, 2)
        values[row, :, view.positions] = value_states.transpose(1, 2)
        return keys[:, :, : view.length], values[:, :, : view.length]

    def grow(self, capacity: int) -> None:
        """Room for longer rows; what is there stays."""
        for name in ("keys", "values"):
            old: torch.Tensor | None = getattr(self, name)
            if old is not None:
                new = old.new_zeros((*old.shape[:2], capacity, old.shape[3]))
                new[:, :, : old.shape[2]] = old
                setattr(self, name, new)

    def move(self, source: int, target: int, length: int) -> None:
        """Copies one row's states over another's."""
        for tensor in (self.keys, self.values):
            if tensor is not None:
                tensor[target, :, :length] = tensor[source, :, :length]

    def swap(self, one: int, other: int, length: int) -> None:
        """Exchanges two rows' states."""
        for tensor in (self.keys, self.values):
            if tensor is not None:
                kept = tensor[one, :, :length].clone()
                tensor[one, :, :length] = tensor[other, :, :length]
                tensor[other, :, :length] = kept

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        del query_length  # masks are made by us, from each row's position
        return self._owner.view.length, 0

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return -1


class SlotCache(Cache):
    """A cache of `slots` rows. Set `view` (through `look`) before each forward pass."""

    def __init__(self, layers: int, slots: int, max_length: int) -> None:
        self._slots = slots
        self._max_length = -(-max_length // BLOCK) * BLOCK
        self._capacity = min(4 * BLOCK, self._max_length)
        self.view = View(slice(0, 0), torch.zeros(0, 0, dtype=torch.long), 0)
        self._slot_layers = [_SlotLayer(self) for _ in range(layers)]
        super().__init__(layers=list(self._slot_layers))

    def allocate(self, like: torch.Tensor) -> torch.Tensor:
        """Empty states for all slots, heads and size as in `like` ([rows, heads, tokens, head size])."""
        return like.new_zeros((self._slots, like.shape[1], self._capacity, like.shape[3]))

    def look(self, rows: slice, positions: torch.Tensor) -> torch.Tensor:
        """Sets the view for these positions ([rows, tokens]); returns the mask, [rows, 1, tokens, length].

        Positions are what each token attends to: all before it, and itself.
        """
        length = -(-(int(positions.max()) + 1) // BLOCK) * BLOCK
        if length > self._capacity:
            self._grow(length)
        self.view = View(rows, positions, length)
        places = torch.arange(length, device=positions.device)
        return (places <= positions[:, :, None])[:, None]

    def _grow(self, length: int) -> None:
        self._capacity = min(max(length, self._capacity * 3 // 2 // BLOCK * BLOCK), self._max_length)
        for layer in self._slot_layers:
            layer.grow(self._capacity)

    def move(self, source: int, target: int, length: int) -> None:
        """Copies the first `length` positions of one row over another's."""
        for layer in self._slot_layers:
            layer.move(source, target, length)

    def swap(self, one: int, other: int, length: int) -> None:
        """Exchanges the first `length` positions of two rows."""
        for layer in self._slot_layers:
            layer.swap(one, other, length)
