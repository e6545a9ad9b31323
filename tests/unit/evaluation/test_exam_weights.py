"""Adapters whose hashes are right and whose weights are not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from services.evaluation.examination.weights import fault_of_weights
from tests.support.evaluations import added, random_adapter, reconfigured, rewritten
from tests.unit.evaluation.conftest import Lot

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
Tensors = dict[str, torch.Tensor]


def without_a_layer(tensors: Tensors) -> Tensors:
    return {name: it for name, it in tensors.items() if "layers.1." not in name}


def with_one_more(tensors: Tensors) -> None:
    tensors["base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight"] = torch.zeros(2, 32)


def with_nan(tensors: Tensors) -> None:
    next(iter(tensors.values()))[0, 0] = float("nan")


def with_infinity(tensors: Tensors) -> None:
    next(iter(tensors.values()))[0, 0] = float("-inf")


def of_another_shape(tensors: Tensors) -> None:
    name = next(name for name in sorted(tensors) if "lora_A" in name)
    tensors[name] = torch.zeros(3, 32)


def in_whole_numbers(tensors: Tensors) -> None:
    name = next(iter(tensors))
    tensors[name] = tensors[name].to(torch.int64)


def test_what_was_trained_has_no_fault(lot: Lot) -> None:
    assert fault_of_weights(lot.one, lot.base) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_a_layer, "it is truncated: 4 of 8 weights are missing, such as base_model.model.model.layers.1."),
        (with_one_more, "it holds 1 weights that its configuration does not name, such as"),
        (with_nan, "holds numbers that are not finite"),
        (with_infinity, "holds numbers that are not finite"),
        (of_another_shape, "is [3, 32], and not [2, 32] as its configuration says"),
        (in_whole_numbers, "holds numbers that are not finite"),
    ],
)
def test_wrong_weights_are_told_in_one_line(lot: Lot, tmp_path: Path, change: Callable[..., Any], told: str) -> None:
    adapter = rewritten(tmp_path, lot.one, change)
    assert adapter.verify() == []
    fault = fault_of_weights(adapter, lot.base)
    assert fault is not None
    assert told in fault
    assert "\n" not in fault


def test_a_file_that_is_no_safetensors_is_told(lot: Lot, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    whole = (lot.one.folder / "adapter_model.safetensors").read_bytes()
    (saved / "adapter_model.safetensors").write_bytes(whole[: len(whole) // 2])
    (saved / "adapter_config.json").write_bytes((lot.one.folder / "adapter_config.json").read_bytes())
    adapter = added(tmp_path / "models", saved, lot.base, lot.dataset.name)
    assert adapter.verify() == []
    assert "adapter_model.safetensors cannot be read" in (fault_of_weights(adapter, lot.base) or "")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"target_modules": ["no_such_proj"]}, "its configuration does not fit its base: Target modules"),
        ({"peft_type": "IA3"}, "its configuration does not fit its base"),
        ({"r": 4}, "is [2, 32], and not [4, 32] as its configuration says"),
    ],
)
def test_a_configuration_of_something_else_is_told(lot: Lot, tmp_path: Path, change: dict[str, Any], told: str) -> None:
    assert told in (fault_of_weights(reconfigured(tmp_path, lot.one, change), lot.base) or "")


def test_an_adapter_in_half_precision_is_taken(lot: Lot, tmp_path: Path) -> None:
    half = rewritten(tmp_path, lot.one, lambda tensors: {name: it.to(torch.bfloat16) for name, it in tensors.items()})
    assert fault_of_weights(half, lot.base) is None
    assert fault_of_weights(random_adapter(tmp_path, lot.base, "d" * 64, scale=0.0), lot.base) is None
