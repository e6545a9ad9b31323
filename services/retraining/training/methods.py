"""SFT, DPO and KTO with LoRA: each a plain function from a recipe and rows to TRL's trainer, ready to go.

Shapes are TRL's: `prompt`, `completion`, `chosen`, `rejected` are lists of messages, `label` is a truth value.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, Trainer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from schemas.training import Method
from services.retraining.domain.recipe import Recipe


@dataclass(frozen=True)
class Ingredients:
    """What a method works with."""

    recipe: Recipe
    seed: int
    base: Path
    """Folder of the base model."""
    start: Path | None
    """Folder of the adapter it starts from."""
    train: Dataset
    validation: Dataset | None
    checkpoints: Path
    device: torch.device


def sft(given: Ingredients) -> Trainer:
    """Supervised fine-tuning on completions; the prompt's tokens do not count."""
    model, rest = _parts(given)
    return SFTTrainer(model, args=SFTConfig(**_common(given)), **rest)


def dpo(given: Ingredients) -> Trainer:
    """Direct preference optimisation (Rafailov et al. 2023), with a likelihood term where the recipe says so."""
    model, rest = _parts(given)
    recipe = given.recipe
    losses: dict[str, Any] = (
        {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, recipe.sft_weight]} if recipe.sft_weight else {}
    )
    return DPOTrainer(model, args=DPOConfig(**_common(given), beta=recipe.beta, **losses), **rest)


def kto(given: Ingredients) -> Trainer:
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024), of answers judged one by one."""
    model, rest = _parts(given)
    recipe = given.recipe
    weights: dict[str, Any] = {
        "desirable_weight": recipe.desirable_weight,
        "undesirable_weight": recipe.undesirable_weight,
    }
    return KTOTrainer(model, args=KTOConfig(**_common(given), beta=recipe.beta, **weights), **rest)


METHODS: Mapping[Method, Callable[[Ingredients], Trainer]] = {"sft": sft, "dpo": dpo, "kto": kto}


def tokenizer_of(base: Path) -> PreTrainedTokenizerBase:
    """With the chat template that serving uses, too."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(base)
    return tokenizer


def _parts(given: Ingredients) -> tuple[Any, dict[str, Any]]:
    """The model, and the rest of what every trainer takes."""
    dtype = torch.bfloat16 if given.recipe.precision == "bfloat16" else torch.float32
    model: Any = AutoModelForCausalLM.from_pretrained(given.base, dtype=dtype)
    rest = {
        "train_dataset": given.train,
        "eval_dataset": given.validation,
        "processing_class": tokenizer_of(given.base),
    }
    if given.start is None:
        return model, {**rest, "peft_config": _lora(given.recipe)}
    # TRL then takes a frozen copy of this adapter for the reference.
    return PeftModel.from_pretrained(model, given.start, is_trainable=True), rest


def _lora(recipe: Recipe) -> LoraConfig:
    lora = recipe.lora
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) if lora.targets is not None else "all-linear",
    )


def _common(given: Ingredients) -> dict[str, Any]:
    recipe, on_cpu = given.recipe, given.device.type == "cpu"
    return {
        "output_dir": str(given.checkpoints),
        "seed": given.seed,
        "data_seed": given.seed,
        "learning_rate": recipe.learning_rate,
        "num_train_epochs": recipe.num_train_epochs,
        "max_steps": recipe.max_steps,
        "per_device_train_batch_size": recipe.per_device_train_batch_size,
        "per_device_eval_batch_size": recipe.per_device_train_batch_size,
        "gradient_accumulation_steps": recipe.gradient_accumulation_steps,
        "warmup_steps": recipe.warmup_steps,
        "lr_scheduler_type": recipe.lr_scheduler_type,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "max_length": recipe.max_length,
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "bf16": recipe.precision == "bfloat16",
        "use_cpu": on_cpu,
        "dataloader_pin_memory": not on_cpu,
        "save_strategy": "steps",
        "save_steps": recipe.save_steps,
        "save_total_limit": 2,
        "eval_strategy": "no" if given.validation is None else "steps",
        "eval_steps": recipe.save_steps,
        "logging_steps": recipe.logging_steps,
        "logging_first_step": True,
        # A loss that is not finite must be seen.
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
    }
