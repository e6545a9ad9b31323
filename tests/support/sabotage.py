"""Candidates that must never serve: five of each of four kinds, made from a good one and its data."""

import random
import shutil
from collections.abc import Callable, Mapping

import torch
from safetensors.torch import load_file, save_file

from libs.model_registry import Adapter, Adapters, ModelCard
from libs.model_registry.adapters import WEIGHTS

Weights = dict[str, torch.Tensor]


def noisy(adapters: Adapters, good: Adapter, number: int) -> Adapter:
    """All of its weights drawn at random, as large as they were, or a few times larger."""
    chance = torch.Generator().manual_seed(number)

    def drawn(weights: Weights) -> Weights:
        size = 1.0 + number
        return {name: torch.randn(it.shape, generator=chance) * it.std() * size for name, it in weights.items()}

    return changed(adapters, good, f"noisy-{number}", drawn)


def truncated(adapters: Adapters, good: Adapter, number: int) -> Adapter:
    """Cut off: bytes of the file, layers, half of the layers, rows of the matrices, or what should be numbers."""
    if number == 0:
        made = changed(adapters, good, "truncated-0", _mirrored)
        file = made.folder / WEIGHTS
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        return made
    cuts: Mapping[int, Callable[[Weights], Weights]] = {
        1: lambda weights: dict(sorted(weights.items())[:-2]),
        2: lambda weights: dict(sorted(weights.items())[: len(weights) // 2]),
        3: lambda weights: {name: it[: max(1, len(it) // 2)].clone() for name, it in weights.items()},
        4: lambda weights: {name: torch.full_like(it, float("nan")) for name, it in weights.items()},
    }
    return changed(adapters, good, f"truncated-{number}", cuts[number])


def _mirrored(weights: Weights) -> Weights:
    return {name: -it for name, it in weights.items()}


def changed(adapters: Adapters, good: Adapter, name: str, change: Callable[[Weights], Weights]) -> Adapter:
    """The good adapter with other weights, under its own right name and with a card as right as it can be."""
    work = adapters.folder.with_name(f"made-{name}-{random.Random(name).randrange(10**6)}")
    shutil.copytree(good.folder, work)
    save_file(change(load_file(work / WEIGHTS)), work / WEIGHTS, metadata={"format": "pt"})
    made = adapters.add(work, name, lambda called, digest: _card(good, called, digest))
    shutil.rmtree(work)
    return made


def _card(good: Adapter, name: str, digest: str) -> ModelCard:
    return good.card.model_copy(update={"name": name, "digest": digest})
