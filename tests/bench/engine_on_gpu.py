"""Tokens per second of the engine on an accelerator, beside `generate` and transformers' own continuous batching.

`python -m tests.bench.engine_on_gpu FOLDER [--large]`: weights are drawn at random in the shape of the folder's config,
or of a Llama of 1.2 billion with `--large`; the tokenizer is the folder's. The wall's clock, bfloat16.
"""

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig, LlamaConfig

from libs.language_models import TokenCounter
from libs.language_models.engine import Engine, EngineSettings
from tests.bench.answers import Spent, ask_over_time, evenly, latencies, prompts
from tests.bench.generators import generate, messages, our_engine

COUNTS = (1, 4, 16, 64)
NEW = 128
ROUNDS = 3


def model_like(folder: Path, large: bool, device: str) -> Any:
    """Random weights: their speed is that of trained ones."""
    config: Any = AutoConfig.from_pretrained(folder)
    if large:
        config = LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=2048,
            intermediate_size=8192,
            num_hidden_layers=16,
            num_attention_heads=32,
            num_key_value_heads=8,
            max_position_embeddings=8192,
            eos_token_id=config.eos_token_id,
            tie_word_embeddings=True,
        )
    torch.manual_seed(1)
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)  # type: ignore[no-untyped-call]
    return model.to(device).eval()


def continuous_batching(model: Any, counter: TokenCounter, count: int) -> float:
    """Tokens per second of transformers' own, all prompts known at the beginning."""
    rows = [counter.encode_messages(messages(text)) for text in prompts(count)]
    settings: Any = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=NEW, do_sample=False, eos_token_id=-1, pad_token_id=2
    )
    began = time.perf_counter()
    found = model.generate_batch(rows, settings, ContinuousBatchingConfig(max_memory_percent=0.3), progress_bar=False)
    return sum(len(one.generated_tokens) for one in found.values()) / (time.perf_counter() - began)


async def main(folder: Path, large: bool, device: str) -> None:
    """Prints a table; the first round of each side, which compiles and allocates, is left out."""
    model, counter, now = model_like(folder, large, device), TokenCounter.from_folder(folder), time.perf_counter
    engine = Engine(model, counter, EngineSettings(slots=max(COUNTS), reserved_slots=0))
    engine.start()
    ours = our_engine(engine, NEW)
    print("| prompts | engine, every 10 ms | one by one | static batch | transformers CB | first ms | between ms |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for count in COUNTS:
        texts, rounds = prompts(count), list[tuple[Spent, float, float, float]]()
        for _ in range(ROUNDS):
            spent = await ask_over_time(ours, texts, evenly(count, 0.01), now)
            singly = await generate(model, counter, [[text] for text in texts[:4]], now, NEW)
            static = await generate(model, counter, [texts], now, NEW)
            batching = await asyncio.to_thread(continuous_batching, model, counter, count)
            rounds.append((spent, singly.per_second, static.per_second, batching))
        kept = rounds[1:]
        rates = [max(one.per_second for one, *_ in kept), *(max(found) for found in list(zip(*kept, strict=True))[1:])]
        late = latencies([one for one, *_ in kept])
        shown = " | ".join(f"{rate:.0f}" for rate in rates)
        print(
            f"| {count} | {shown} | {late['first token p50 ms']:.0f} | {late['between tokens p50 ms']:.1f} |",
            flush=True,
        )
    engine.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--device", default="cuda")
    chosen = parser.parse_args()
    asyncio.run(main(chosen.folder, chosen.large, chosen.device))
