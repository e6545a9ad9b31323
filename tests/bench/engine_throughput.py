"""Tokens per second of the engine for 1, 4 and 16 prompts at once, beside `generate` one by one and on a static batch.

`python tests/bench/engine_throughput.py --precision int8 --threads 2`. Prompt 53 tokens, 48 new.
`--clock cpu`
counts the process's own CPU seconds instead of the wall's: with one thread, fair on a machine that others use too.
"""

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence

import torch

from libs.language_models import TokenCounter, default_model_dir
from libs.language_models.engine import Engine, EngineSettings, load_model
from libs.language_models.generation import Delta, GenerationRequest
from schemas.base import Message

NEW = 48
Clock = Callable[[], float]


def requests(count: int) -> list[GenerationRequest]:
    """Prompts of equal length that differ, none of which ends early."""
    text = "Write a long story about a river, a bridge and number {}. Take your time and describe every detail."
    return [GenerationRequest([Message(role="user", content=text.format(n))], max_tokens=NEW) for n in range(count)]


async def concurrent(engine: Engine, count: int, stagger_seconds: float, now: Clock) -> tuple[float, float]:
    """(tokens per second, mean seconds to the first text)."""
    firsts: list[float] = []
    tokens = 0

    async def one(request: GenerationRequest, delay: float) -> None:
        nonlocal tokens
        await asyncio.sleep(delay)
        began, seen = now(), False
        async for event in engine.generate(request):
            if isinstance(event, Delta):
                if not seen:
                    firsts.append(now() - began)
                seen = True
            else:
                tokens += event.completion_tokens

    began = now()
    await asyncio.gather(*(one(request, stagger_seconds * n) for n, request in enumerate(requests(count))))
    return tokens / (now() - began), sum(firsts) / len(firsts)


def generate(
    model: torch.nn.Module, counter: TokenCounter, batches: Sequence[Sequence[GenerationRequest]], now: Clock
) -> float:
    """Tokens per second of transformers' own `generate`, batch after batch."""
    began, tokens = now(), 0
    for batch in batches:
        rows = [counter.encode_messages(request.messages) for request in batch]
        width = max(map(len, rows))
        ids = torch.tensor([[2] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        out = model.generate(ids, attention_mask=mask, max_new_tokens=NEW, do_sample=False)  # type: ignore[operator]
        tokens += sum(int((row != 2).sum()) for row in out[:, width:])
    return tokens / (now() - began)


async def main(precision: str, threads: int, now: Clock) -> None:
    """Prints a table."""
    torch.set_num_threads(threads)
    folder = default_model_dir()
    counter = TokenCounter.from_folder(folder)
    model = load_model(folder, precision=precision)  # type: ignore[arg-type]
    engine = Engine(model, counter, EngineSettings(slots=16, reserved_slots=0))
    engine.start()
    await concurrent(engine, 2, 0, now)
    print(f"{precision}, {threads} threads, prompt {counter.count_messages(requests(1)[0].messages)}, {NEW} new")
    print("| concurrent | engine | engine, staggered 100 ms | first text s | generate one by one | static batch |")
    print("|---|---|---|---|---|---|")
    for count in (1, 4, 16):
        at_once, first = await concurrent(engine, count, 0, now)
        staggered, _ = await concurrent(engine, count, 0.1, now)
        one_by_one = generate(model, counter, [[r] for r in requests(min(count, 2))], now)
        static = generate(model, counter, [requests(count)], now)
        print(
            f"| {count} | {at_once:.0f} | {staggered:.0f} | {first:.2f} | {one_by_one:.0f} | {static:.0f} |", flush=True
        )
    engine.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    chosen = parser.parse_args()
    clock = time.process_time if chosen.clock == "cpu" else time.perf_counter
    asyncio.run(main(chosen.precision, chosen.threads, clock))
