"""Keys and values of many generations in one tensor per layer, behind transformers' `Cache` interface.

Row i belongs to one generation; each row has its own position. Rows in use are kept together at the front, so that
a step works on views, not copies. Knows nothing of requests.
"""

from collections.abc import Iterable
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from libs.language_models.engine.views import PackedView, View

BLOCK = 32
"""Lengths are padded to this: then the attention kernels' sums fall the same way whatever the neighbours' length."""
_FIRST_BLOCKS = 8
"""Room at first."""


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
        """Writes new states at each row's own positions; returns all states of the rows in view, or packed, of all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        view = self._owner.view
        if isinstance(view, PackedView):
            self.keys[view.rows, :, view.positions] = key_states[0].transpose(0, 1)
            self.values[view.rows, :, view.positions] = value_states[0].transpose(0, 1)
            return self.keys, self.values
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
        view = self._owner.view
        return 0 if isinstance(view, PackedView) else view.length, 0

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return -1


class SlotCache(Cache):
    """A cache of `slots` rows. `look` or `look_packed` comes before each forward pass."""

    def __init__(self, layers: int, slots: int, max_length: int) -> None:
        self._slots = slots
        self._max_length = -(-max_length // BLOCK) * BLOCK
        self._capacity = min(_FIRST_BLOCKS * BLOCK, self._max_length)
        self.view: View | PackedView = View(slice(0, 0), torch.zeros(0, 0, dtype=torch.long), 0)
        self._slot_layers = [_SlotLayer(self) for _ in range(layers)]
        super().__init__(layers=list(self._slot_layers))

    def allocate(self, like: torch.Tensor) -> torch.Tensor:
        """Empty states for all slots, heads and size as in `like` ([rows, heads, tokens, head size])."""
        return like.new_zeros((self._slots, like.shape[1], self._capacity, like.shape[3]))

    def look(self, rows: slice, positions: torch.Tensor) -> View:
        """The next forward pass is about these positions ([rows, tokens])."""
        view = self._view(rows, positions)
        self.view = view
        return view

    def look_packed(self, parts: Iterable[tuple[slice, torch.Tensor]]) -> PackedView:
        """The next forward pass has one sequence of the tokens of these rows and positions."""
        view = PackedView([self._view(rows, positions) for rows, positions in parts])
        self.view = view
        return view

    def _view(self, rows: slice, positions: torch.Tensor) -> View:
        length = -(-(int(positions.max()) + 1) // BLOCK) * BLOCK
        if length > self._capacity:
            self._grow(length)
        return View(rows, positions, length)

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
