"""Reads LoRA adapters as PEFT writes them: `adapter_config.json` and `adapter_model.safetensors`.

Strict: whatever would make another model of it than the one that was trained is refused, by name. Runs no code of the
folder's, and knows no engine.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open

from libs.language_models.engine.low_rank import LowRank, Pair
from libs.language_models.generation import UnusableAdapter

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_READ = {"peft_type", "task_type", "r", "lora_alpha", "use_rslora", "target_modules", "bias", "init_lora_weights"}
_NO_MATTER = {
    *("auto_mapping", "base_model_name_or_path", "inference_mode", "lora_dropout", "megatron_core", "peft_version"),
    *("qalora_group_size", "revision"),
}
"""Of training, or of parts that other keys turn on."""
_PLAIN_STARTS = (True, False, "gaussian", "orthogonal")
"""Ways to draw the first weights that leave the base as it is."""
_NUMBERS = (torch.float32, torch.float16, torch.bfloat16)


class Layer(Protocol):
    """A linear layer's sizes."""

    in_features: int
    out_features: int


@dataclass(frozen=True)
class _Rules:
    rank: int
    scale: float
    targets: tuple[str, ...]


def read_adapter(
    folder: Path, layers: Mapping[str, Layer], *, dtype: torch.dtype, device: torch.device | str = "cpu"
) -> LowRank:
    """The adapter, named after its folder, for a model with these layers. Raises UnusableAdapter."""
    rules = _rules(folder / CONFIG)
    targets = [name for name in layers if _is_target(name, rules.targets)]
    if not targets:
        raise UnusableAdapter(f"{folder.name}: the model has no layer that it is for ({', '.join(rules.targets)})")
    found = _tensors(folder / WEIGHTS, {name: layers[name] for name in targets}, rules.rank)
    pairs = {name: _placed(pair, rules.scale, dtype, device) for name, pair in found}
    return LowRank(folder.name, pairs)


def _is_target(layer: str, targets: tuple[str, ...]) -> bool:
    return any(layer == target or layer.endswith(f".{target}") for target in targets)


def _placed(pair: Pair, scale: float, dtype: torch.dtype, device: torch.device | str) -> Pair:
    down, up = pair
    return down.to(device, dtype), (up.float() * scale).to(device, dtype)


def _rules(file: Path) -> _Rules:
    try:
        told = json.loads(file.read_bytes())
    except OSError as error:
        raise UnusableAdapter(f"{file}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise UnusableAdapter(f"{file} is no JSON") from None
    if not isinstance(told, dict):
        raise UnusableAdapter(f"{file} is no JSON object")
    if wrong := next(_faults(told), None):
        raise UnusableAdapter(f"{file}: {wrong}")
    rank, alpha = told["r"], told["lora_alpha"]
    scale = alpha / (math.sqrt(rank) if told.get("use_rslora") else rank)
    return _Rules(rank, scale, tuple(told["target_modules"]))


def _faults(told: dict[str, Any]) -> Iterator[str]:
    """What the engine cannot do, one sentence each."""
    if told.get("peft_type") != "LORA":
        yield f'"peft_type" is {told.get("peft_type")!r}; only "LORA" is served'
    if told.get("task_type", "CAUSAL_LM") not in {"CAUSAL_LM", None}:
        yield f'"task_type" is {told["task_type"]!r}; only "CAUSAL_LM" is served'
    if told.get("bias", "none") != "none":
        yield f'"bias" is {told["bias"]!r}; trained biases are not served'
    if told.get("init_lora_weights", True) not in _PLAIN_STARTS:
        yield f'"init_lora_weights" is {told["init_lora_weights"]!r}, which changes the base itself'
    if not _is_number(told.get("r")) or not isinstance(told["r"], int) or told["r"] < 1:
        yield '"r" is no positive whole number'
    if not _is_number(told.get("lora_alpha")):
        yield '"lora_alpha" is no number'
    targets = told.get("target_modules")
    if not isinstance(targets, list) or not targets or not all(isinstance(it, str) and it for it in targets):
        yield '"target_modules" is no list of names'
    for name in sorted(told.keys() - _READ - _NO_MATTER):
        # Whatever PEFT adds in later versions is off where it is empty.
        if told[name] not in (None, False, [], {}):
            yield f'"{name}" is set, which is not served'


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _tensors(file: Path, layers: Mapping[str, Layer], rank: int) -> Iterator[tuple[str, Pair]]:
    """The pair of each of these layers; the file holds these and no others."""
    try:
        with safe_open(file, "pt") as stored:
            _same_names(file, set(stored.keys()), layers)
            for name, layer in layers.items():
                down = _tensor(stored, name, "A", (rank, layer.in_features))
                yield name, (down, _tensor(stored, name, "B", (layer.out_features, rank)))
    except OSError as error:
        raise UnusableAdapter(f"{file}: {error.strerror or error}") from None
    except SafetensorError as error:
        raise UnusableAdapter(f"{file} is damaged: {error}") from None


def _same_names(file: Path, found: set[str], layers: Mapping[str, Layer]) -> None:
    wanted = {_key(name, part) for name in layers for part in "AB"}
    if missing := sorted(wanted - found):
        raise UnusableAdapter(f"{file} lacks {missing[0]} ({len(missing)} of {len(wanted)} are missing)")
    if unknown := sorted(found - wanted):
        raise UnusableAdapter(f"{file} holds {unknown[0]}, which is no part of such an adapter for this model")


def _tensor(stored: Any, layer: str, part: str, shape: tuple[int, int]) -> torch.Tensor:
    key = _key(layer, part)
    tensor: torch.Tensor = stored.get_tensor(key)
    if tensor.dtype not in _NUMBERS:
        raise UnusableAdapter(f"{key} holds {tensor.dtype}; only 16- and 32-bit floats are served")
    if tuple(tensor.shape) != shape:
        raise UnusableAdapter(f"{key} has the shape {tuple(tensor.shape)} and not {shape}: is it for another model?")
    if not bool(tensor.isfinite().all()):
        raise UnusableAdapter(f"{key} holds values that are no numbers")
    return tensor


def _key(layer: str, part: str) -> str:
    return f"{_PREFIX}{layer}.lora_{part}.weight"
