"""Ways to answer prompts with one model in this process: our engine, and `generate` one by one or on a static batch.

Greedy, at most `NEW` tokens each unless told otherwise.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, StoppingCriteria

from libs.language_models import TokenCounter
from libs.language_models.engine import Engine
from libs.language_models.generation import Finished, GenerationRequest
from schemas.base import Message
from tests.bench.answers import Answer, Asking, Clock, Spent

NEW = 48
"""Tokens of an answer."""


def messages(text: str) -> list[Message]:
    """As a chat of one turn."""
    return [Message(role="user", content=text)]


def our_engine(engine: Engine, new: int = NEW) -> Asking:
    """Through the public interface."""

    async def ask(text: str, hear: Callable[[], None]) -> int:
        async for event in engine.generate(GenerationRequest(messages(text), max_tokens=new)):
            if isinstance(event, Finished):
                return event.completion_tokens
            hear()
        raise AssertionError("an answer without an end")

    return ask


class Stamps(StoppingCriteria):
    """Notes when `generate` has written each token; stops nothing."""

    def __init__(self, clock: Clock) -> None:
        self.at: list[float] = []
        self._clock = clock

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        self.at.append(self._clock())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


async def generate(
    model: PreTrainedModel, counter: TokenCounter, batches: Sequence[Sequence[str]], clock: Clock, new: int = NEW
) -> Spent:
    """Transformers' own `generate`, batch after batch, all prompts known at the beginning."""
    return await asyncio.to_thread(_generate, model, counter, batches, clock, new)


def _generate(model: Any, counter: TokenCounter, batches: Sequence[Sequence[str]], clock: Clock, new: int) -> Spent:
    began, wall, answers = clock(), time.perf_counter(), list[Answer]()
    end = model.generation_config.eos_token_id
    for batch in batches:
        stamps = Stamps(clock)
        rows = [counter.encode_messages(messages(text)) for text in batch]
        width = max(map(len, rows))
        ids = torch.tensor([[end] * (width - len(row)) + row for row in rows], device=model.device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=model.device)
        out = model.generate(
            ids, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=end, stopping_criteria=[stamps]
        )
        counts = (out[:, width:] != end).sum(1).tolist()
        answers += [Answer(began, stamps.at[:count], count) for count in counts]
    return Spent(answers, clock() - began, time.perf_counter() - wall)
