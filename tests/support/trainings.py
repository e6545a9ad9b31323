"""Trainings for tests: a base model so small that a step takes milliseconds, preferences by a known rule."""

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from libs.datasets import Dataset, Datasets, read_policy
from libs.language_models import default_model_dir
from schemas.feedback import ExampleRecorded
from tests.support.examples import example, judged

_HIDDEN, _INNER, _LAYERS, _VOCABULARY = 32, 64, 2, 49152
_THINGS = ("invoice", "parcel", "refund", "order", "account", "password", "delivery", "warranty", "battery", "printer")
_DEEDS = ("return", "cancel", "change", "check", "repair", "replace", "clean", "move", "find", "open", "close")
QUICK: Mapping[str, Any] = {
    "min_rows": 4, "max_steps": 4, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1,
    "save_steps": 2, "logging_steps": 1, "warmup_steps": 0, "max_length": 128,
}  # fmt: skip
"""Numbers of a recipe that is done in a moment."""


def tiny_base(folder: Path) -> Path:
    """A Llama of 1.6 million parameters with the default model's tokenizer; its weights are random, but fixed."""
    folder.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"):
        if (file := default_model_dir() / name).exists():
            shutil.copyfile(file, folder / name)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": _HIDDEN,
        "intermediate_size": _INNER,
        "num_hidden_layers": _LAYERS, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": _VOCABULARY,
        "max_position_embeddings": 2048, "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2,
        "pad_token_id": 2, "dtype": "float32",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_file(dict(_weights(np.random.default_rng(0))), str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def _weights(chance: np.random.Generator) -> Mapping[str, np.ndarray]:
    def matrix(rows: int, columns: int) -> np.ndarray:
        return (chance.standard_normal((rows, columns)) * 0.05).astype(np.float32)

    ones = np.ones(_HIDDEN, dtype=np.float32)
    found = {"model.embed_tokens.weight": matrix(_VOCABULARY, _HIDDEN), "model.norm.weight": ones}
    for layer in range(_LAYERS):
        at = f"model.layers.{layer}"
        found |= {f"{at}.self_attn.{name}_proj.weight": matrix(_HIDDEN, _HIDDEN) for name in "qkvo"}
        found |= {f"{at}.mlp.{name}_proj.weight": matrix(_INNER, _HIDDEN) for name in ("gate", "up")}
        found |= {f"{at}.mlp.down_proj.weight": matrix(_HIDDEN, _INNER)}
        found |= {f"{at}.{name}_layernorm.weight": ones for name in ("input", "post_attention")}
    return found


def polite(count: int, *, start: int = 0, flipped: bool = False) -> Sequence[ExampleRecorded]:
    """Answers that people edit, always so that it begins with thanks. `flipped`: so that it does not."""
    chance = random.Random(start)
    found = []
    for number in range(start, start + count):
        thing, deed = chance.choice(_THINGS), chance.choice(_DEEDS)
        said = f"Thank you for asking. To {deed} {thing} {number}, open its page and choose {deed}."
        plain = f"Open the page of {thing} {number}, choose {deed}, and wait until it is done."
        question = f"How do I {deed} my {thing} number {number}?"
        better, worse = (plain, said) if flipped else (said, plain)
        found.append(example(f"r-{number}", judged("edit", better, by=f"s-{number}"), asked=question, text=worse))
    return found


def published(folder: Path, count: int, *, start: int = 0, flipped: bool = False) -> Dataset:
    """A data set of so many of them."""
    return Datasets(folder).publish(polite(count, start=start, flipped=flipped), read_policy()).dataset


def recipe_file(folder: Path, name: str = "quick", **rules: Any) -> Path:
    """A recipe of that name in the folder, quick unless told otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"name": name, "version": 1, "method": "dpo", **QUICK, **rules}
    (folder / f"{name}.yaml").write_text(json.dumps(told))
    return folder
