"""Low-rank adapters beside a model's linear layers: y = base(x) + up (down x), each token with its own adapter or none.

LoRA (Hu et al. 2021, arXiv:2106.09685). The base's weights stay as they are, at whatever precision, so that sequences
of many adapters share one batch. Knows no files and no requests.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from libs.language_models.engine.int8 import Int8Linear

Pair = tuple[torch.Tensor, torch.Tensor]
"""`down` of [rank, in] and `up` of [out, rank], which holds the adapter's scale."""

_OF_A_BLOCK = re.compile(r"(^|\.)(layers|h|blocks)\.\d+\.")


@dataclass(frozen=True, eq=False)
class LowRank:
    """An adapter in memory: its pairs by the name of their layer. Whoever writes with it holds it."""

    name: str
    pairs: Mapping[str, Pair]


Owner = tuple[LowRank | None, int]
"""Whose tokens, and how many of them."""


class Beside:
    """Adds to the outputs of a model's layers. Belongs to the thread that runs the model."""

    def __init__(self, model: nn.Module) -> None:
        self._layers = layers_of(model)
        self._hooks: list[RemovableHandle] = []
        self._shares: list[tuple[LowRank, torch.Tensor | None]] = []

    @contextmanager
    def of(self, owners: Sequence[Owner], device: torch.device) -> Iterator[None]:
        """A forward pass over the tokens of these, in this order. Without adapters it is the bare model's."""
        self._shares = _shares(owners, device)
        self._attach(wanted=bool(self._shares))
        try:
            yield
        finally:
            self._shares = []

    def _attach(self, *, wanted: bool) -> None:
        """A hook that does nothing would still cost a microsecond in each layer."""
        if wanted and not self._hooks:
            self._hooks = [layer.register_forward_hook(partial(self._add, n)) for n, layer in self._layers.items()]
        elif self._hooks and not wanted:
            for hook in self._hooks:
                hook.remove()
            self._hooks = []

    def _add(self, layer: str, _: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        """The output is the layer's own and nobody else's yet: it is added to in place."""
        for adapter, places in self._shares:
            if (pair := adapter.pairs.get(layer)) is not None:
                _add_to(output.view(-1, output.shape[-1]), inputs[0].reshape(-1, inputs[0].shape[-1]), pair, places)


def layers_of(model: nn.Module) -> dict[str, "nn.Linear | Int8Linear"]:
    """The linear layers that an adapter may change, by name: those that see every token, block by block.

    The output layer sees only the last tokens, and experts only those they are given.
    """
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | Int8Linear) and _OF_A_BLOCK.search(name) and ".experts." not in name
    }


def _shares(owners: Sequence[Owner], device: torch.device) -> list[tuple[LowRank, torch.Tensor | None]]:
    """Each adapter with the places of its tokens; None: all of them are."""
    adapters = {adapter for adapter, _ in owners}
    if adapters <= {None}:
        return []
    if len(adapters) == 1:
        return [(adapter, None) for adapter in adapters if adapter is not None]
    places: dict[LowRank, list[int]] = {}
    start = 0
    for adapter, count in owners:
        if adapter is not None:
            places.setdefault(adapter, []).extend(range(start, start + count))
        start += count
    return [(adapter, torch.tensor(found, device=device)) for adapter, found in places.items()]


def _add_to(y: torch.Tensor, x: torch.Tensor, pair: Pair, places: torch.Tensor | None) -> None:
    """`x` is [tokens, in], `y` [tokens, out]."""
    down, up = pair
    if places is None:
        y.addmm_(x @ down.T, up.T)
    else:
        y.index_add_(0, places, (x[places] @ down.T) @ up.T)
