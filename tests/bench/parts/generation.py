"""Part d: tokens per second, time to the first token and between tokens, for prompts that arrive over time.

All sides compute in float32, which every one of them takes on any CPU, with one thread each; int8, what the engine
chooses by itself on a CPU without bfloat16 units, stands beside it. Greedy decoding, so all write the same.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from libs.language_models import TokenCounter, default_model_dir
from libs.language_models.engine import Engine, EngineSettings, load_model
from tests.bench.answers import Spent, ask_over_time, evenly, latencies, poisson, prompts, rate
from tests.bench.frame import Bench, Finding, Goal, Part, Row, in_turn, ratio_of_medians
from tests.bench.generators import NEW, generate, messages, our_engine
from tests.bench.serve_peer import transformers_serve

ROUNDS = 3
EVERY = 0.1
"""Seconds between two prompts, or their mean."""
COUNTS = (1, 4, 16)
ONE_BY_ONE_AT_MOST = 4
"""One by one the rate is the same for any number of prompts."""

OURS, MEMORYLESS, SINGLY = "Tailrace, one every 100 ms", "Tailrace, Poisson, mean 100 ms", "`generate`, one by one"
STATIC, SERVE = "`generate`, static batch, all known at once", "`transformers serve`, one every 100 ms"
OURS_INT8, STATIC_INT8 = "Tailrace int8, one every 100 ms", "`generate` int8, static batch, all known at once"

Side = Callable[[int], Awaitable[Spent]]
Found = Mapping[int, Mapping[str, list[Spent]]]


async def run(bench: Bench) -> Finding:
    """All sides take turns, at 1, 4 and 16 prompts."""
    torch.set_num_threads(1)
    folder = default_model_dir()
    counter = TokenCounter.from_folder(folder)
    found: dict[int, dict[str, list[Spent]]] = {}
    async with AsyncExitStack() as opened:
        sides = await _sides(folder, counter, opened, bench)
        for count in COUNTS:
            found[count] = await in_turn(bench.times(ROUNDS), {name: side(count) for name, side in sides.items()})
            bench.say(
                f"{count} at once: " + ", ".join(f"{name} {rate(spent):.1f}" for name, spent in found[count].items())
            )
    return Finding(_rows(found), _goals(found), _notes(counter))


async def _sides(
    folder: Path, counter: TokenCounter, opened: AsyncExitStack, bench: Bench
) -> Mapping[str, Callable[[int], Side]]:
    """By name; each is told how many prompts, then the round."""
    plain: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    small = load_model(folder, precision="int8", device="cpu")
    ours = our_engine(_engine(load_model(folder, precision="float32", device="cpu"), counter, opened))
    ours_int8 = our_engine(_engine(small, counter, opened))
    served = await opened.enter_async_context(transformers_serve(folder, "float32", bench.folder / "serve.log"))
    cpu = time.process_time
    await ask_over_time(served.ask, prompts(1), [0.0], served.clock)

    def at_once(model: Any) -> Callable[[int], Side]:
        return lambda count: lambda _: generate(model, counter, [prompts(count)], cpu)

    def one_by_one(count: int) -> Side:
        singly = [[text] for text in prompts(min(count, ONE_BY_ONE_AT_MOST))]
        return lambda _: generate(plain, counter, singly, cpu)

    return {
        OURS: lambda count: lambda _: ask_over_time(ours, prompts(count), evenly(count, EVERY), cpu),
        STATIC: at_once(plain),
        MEMORYLESS: lambda count: lambda r: ask_over_time(ours, prompts(count), poisson(count, EVERY, r), cpu),
        SINGLY: one_by_one,
        OURS_INT8: lambda count: lambda _: ask_over_time(ours_int8, prompts(count), evenly(count, EVERY), cpu),
        STATIC_INT8: at_once(small),
        SERVE: lambda count: lambda _: ask_over_time(served.ask, prompts(count), evenly(count, EVERY), served.clock),
    }


def _engine(model: Any, counter: TokenCounter, opened: AsyncExitStack) -> Engine:
    engine = Engine(model, counter, EngineSettings(slots=max(COUNTS), reserved_slots=0))
    engine.start()
    opened.callback(engine.close)
    return engine


def _rows(found: Found) -> list[Row]:
    return [
        {"prompts": str(count), "side": name, "tokens/s": rate(spent), **latencies(spent)}
        for count, sides in found.items()
        for name, spent in sides.items()
    ]


def _goals(found: Found) -> list[Goal]:
    sides = {name: [one.per_second for one in spent] for name, spent in found[max(COUNTS)].items()}
    return [
        Goal("16 staggered to the static batch", ratio_of_medians(sides[OURS], sides[STATIC]), at_least=1),
        Goal("16 staggered to one by one", ratio_of_medians(sides[OURS], sides[SINGLY]), at_least=4),
        Goal("16 staggered, int8, to one by one", ratio_of_medians(sides[OURS_INT8], sides[SINGLY]), at_least=4),
        Goal("16 staggered to `transformers serve`", ratio_of_medians(sides[OURS], sides[SERVE]), at_least=1),
    ]


def _notes(counter: TokenCounter) -> list[str]:
    length = len(counter.encode_messages(messages(prompts(1)[0])))
    return [
        f"SmolLM2-135M, prompts of {length} tokens, {NEW} new ones each, medians of {ROUNDS} rounds.",
        "One thread; seconds are the CPU's, the wall's of an otherwise idle machine: arrivals go by them too.",
        "`transformers serve` has a cache of 128 blocks of 32 tokens: by default it takes 60 % of the free memory.",
        f"One by one: {ONE_BY_ONE_AT_MOST} prompts at most, all asked at the beginning, as those of the static batch.",
    ]


PARTS = (Part("d", "Generation: prompts that arrive over time", run),)
