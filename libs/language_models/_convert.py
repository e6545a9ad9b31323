"""GGUF to a plain model folder: safetensors in bfloat16, tokenizer, chat template, generation defaults.

Runs in a process of its own (`libs.language_models.prepare`), because it loads torch and transformers.
"""

import sys
from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def convert(gguf: Path, target: Path) -> None:
    """Writes a folder that `from_pretrained` reads without GGUF support."""
    _save_weights(gguf, target)
    _save_tokenizer(gguf, target)


def _save_weights(gguf: Path, target: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
    )
    config = model.config
    config.dtype = torch.bfloat16
    # A fresh model of the same shape: nothing of how the weights were loaded may reach the saved folder.
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    plain.load_state_dict(model.state_dict())
    plain.generation_config.update(eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id)
    plain.save_pretrained(target)
    for file in target.glob("*.safetensors"):
        file.chmod(0o644)


def _save_tokenizer(gguf: Path, target: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # GGUF names the pre-tokenizer ("smollm") without describing it, and the loader assumes plain GPT-2. SmolLM2
    # was trained with each digit a token of its own, which changes how white space before digits is cut.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.save_pretrained(target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
