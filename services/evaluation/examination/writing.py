"""Greedy writing in a batch, with the prompts' keys and values kept. Shapes: b prompts, n tokens of the longest."""

import time
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache


@dataclass(frozen=True)
class Written:
    """Answers without their end tokens, and how long it took."""

    answers: tuple[tuple[int, ...], ...]
    seconds: float
    """After the first token, which is the prompts' work."""
    tokens: int
    """Computed in that time, those after an answer's end among them: who is brief is not slower."""


def write(model: Any, prompts: Sequence[Sequence[int]], tokens: int, ends: Set[int], device: torch.device) -> Written:
    """At most so many tokens for each prompt."""
    width = max(map(len, prompts))
    ids = torch.tensor([[*[0] * (width - len(it)), *it] for it in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(it)) + [1] * len(it) for it in prompts], device=device)
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    kept = DynamicCache(config=model.config)
    found = [_next(model, ids, mask, places, kept)]
    ended, last = _is_end(found[0], ends), places[:, -1:]
    start = _now(device)
    while len(found) < tokens and not all(ended):
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=-1)
        last = last + 1
        found.append(_next(model, found[-1].unsqueeze(-1), mask, last, kept))
        ended = [was or now for was, now in zip(ended, _is_end(found[-1], ends), strict=True)]
    seconds = _now(device) - start
    answers = torch.stack(found, dim=-1).tolist()
    return Written(tuple(_until_end(it, ends) for it in answers), seconds, (len(found) - 1) * len(prompts))


def _next(model: Any, ids: torch.Tensor, mask: torch.Tensor, places: torch.Tensor, kept: Any) -> torch.Tensor:
    """[b]: the likeliest token after each."""
    told = model(
        input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=kept, use_cache=True, logits_to_keep=1
    )
    found: torch.Tensor = told.logits[:, -1].argmax(-1)
    return found


def _is_end(tokens: torch.Tensor, ends: Set[int]) -> list[bool]:
    return [it in ends for it in tokens.tolist()]


def _until_end(tokens: Sequence[int], ends: Set[int]) -> tuple[int, ...]:
    end = next((place for place, it in enumerate(tokens) if it in ends), len(tokens))
    return tuple(tokens[:end])


def _now(device: torch.device) -> float:
    """Seconds. On a CPU those that this process had, by thread: what else the machine does is no fault of a model."""
    if device.type != "cuda":
        return time.process_time() / torch.get_num_threads()
    torch.cuda.synchronize(device)
    return time.perf_counter()
