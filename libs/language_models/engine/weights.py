"""Loads a causal language model for inference at a chosen precision on a chosen device."""

from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from libs.language_models.engine.int8 import quantize
from libs.language_models.engine.output_layer import compute_output_in_pieces

Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]
Device = Literal["auto", "cpu", "cuda"]


def load_model(folder: Path, *, precision: Precision = "auto", device: Device = "auto") -> PreTrainedModel:
    """The model in evaluation mode. `auto` takes a GPU where there is one, and the fastest faithful precision.

    Raises ValueError for a combination or an architecture the engine cannot run.
    """
    place = _place(device)
    chosen = best_precision(place) if precision == "auto" else precision
    if chosen == "int8" and place != "cpu":
        raise ValueError("precision int8 is for CPUs; choose bfloat16 or float16 on a GPU")
    stored = torch.bfloat16 if chosen == "int8" else getattr(torch, chosen)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=stored, attn_implementation="sdpa")
    if chosen == "int8":
        quantize(model)
    model.to(place).eval().requires_grad_(requires_grad=False)
    compute_output_in_pieces(model)
    return model  # type: ignore[no-any-return]


def best_precision(place: str) -> Precision:
    """bfloat16 where the hardware multiplies it, else int8 where torch has its kernels (x86 with AVX2)."""
    able = torch.cpu.get_capabilities()
    if place != "cpu" or able.get("amx_bf16") or able.get("avx512_bf16"):
        return "bfloat16"
    return "int8" if able.get("avx2") else "float32"


def context_window(model: PreTrainedModel) -> int:
    """Tokens the model can attend to. A sliding window bounds it: within the window, attention is plain."""
    config = model.config.get_text_config()
    limits = (getattr(config, name, None) for name in ("max_position_embeddings", "sliding_window"))
    return min((limit for limit in limits if limit), default=2048)


def _place(device: Device) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
