"""Whether an adapter's weights are what its configuration says, for that base: all there, of that shape, finite."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from libs.model_registry import Adapter
from libs.model_registry.adapters import WEIGHTS, configuration

Shapes = dict[str, tuple[int, ...]]


def fault_of_weights(adapter: Adapter, base: Path) -> str | None:
    """What is wrong with them, in one line; None: nothing. `base`: the folder of the model."""
    bare = _bare(base)
    try:
        wanted = _wanted(adapter.folder, bare)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return f"its configuration does not fit its base: {_line(error)}"
    try:
        return _fault(adapter.folder / WEIGHTS, wanted)
    except (SafetensorError, OSError) as error:
        return f"{WEIGHTS} cannot be read: {_line(error)}"


def _bare(base: Path) -> Any:
    """The model without its numbers."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))  # type: ignore[no-untyped-call]


def _wanted(folder: Path, bare: Any) -> Shapes:
    """What PEFT would save of an adapter of that configuration."""
    kind = configuration(folder).get("peft_type")
    if kind != "LORA":
        raise TypeError(f"it is no LoRA adapter, but {kind}")
    config = LoraConfig.from_pretrained(str(folder))
    # Whatever it began with is not computed again: that would need the base's own numbers.
    config.init_lora_weights = False
    with torch.device("meta"):
        model: Any = get_peft_model(bare, config)
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tuple(it.shape) for name, it in state.items()}


def _fault(file: Path, wanted: Shapes) -> str | None:
    with safe_open(file, framework="pt") as weights:
        names = set(weights.keys())
        if lacking := sorted(wanted.keys() - names):
            return f"it is truncated: {len(lacking)} of {len(wanted)} weights are missing, such as {lacking[0]}"
        if others := sorted(names - wanted.keys()):
            return f"it holds {len(others)} weights that its configuration does not name, such as {others[0]}"
        for name, shape in sorted(wanted.items()):
            found = weights.get_tensor(name)
            if tuple(found.shape) != shape:
                return f"{name} is {list(found.shape)}, and not {list(shape)} as its configuration says"
            if not found.is_floating_point() or not bool(torch.isfinite(found).all()):
                return f"{name} holds numbers that are not finite"
    return None


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
