"""Adapters for tests, made by PEFT with weights drawn at random, and kept as retraining keeps them."""

import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from libs.model_registry import Adapter, Adapters
from libs.model_registry.base import base_of
from tests.support.small_adapters import card_by


def drawn(base: Path, folder: Path, seed: int, **config: Any) -> Path:
    """An adapter of the base in that folder, different for each seed. `config`: as in PEFT's LoraConfig."""
    torch.manual_seed(seed)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    told = {"r": 4, "lora_alpha": 32, "target_modules": "all-linear", "init_lora_weights": False, **config}
    with warnings.catch_warnings():
        # PEFT asks transformers under a name that it will drop.
        warnings.simplefilter("ignore", FutureWarning)
        adapted: Any = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **told))
    adapted.save_pretrained(str(folder))
    return folder


def kept(models: Path, drawn_at: Path, base: Path) -> Adapter:
    """The drawn adapter as one of the folder's, with its card."""
    its = {"base": base_of(str(base))}
    return Adapters(models).add(drawn_at, "test", lambda *content: card_by()(*content).model_copy(update=its))
