"""Prompts that both models answer, in batches of prompts of like length."""

from collections.abc import Sequence

from services.evaluation.examination.asking import Tick
from services.evaluation.examination.students import BOTH, Students, Who
from services.evaluation.examination.tokens import Reader

_TOKENS, _MOST = 4096, 8
"""Of a batch: tokens of the prompts, padding included, and prompts."""


def batches_of(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Places of the prompts, the shortest first."""
    found: list[list[int]] = []
    for place in sorted(range(len(prompts)), key=lambda it: (len(prompts[it]), it)):
        if found and len(found[-1]) < _MOST and (len(found[-1]) + 1) * len(prompts[place]) <= _TOKENS:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def written_by_both(
    students: Students, tick: Tick, prompts: Sequence[Sequence[int]], tokens: int, reader: Reader
) -> dict[Who, list[str]]:
    """Texts in the order of the prompts."""
    found: dict[Who, list[str]] = {who: [""] * len(prompts) for who in BOTH}
    for batch in batches_of(prompts):
        for who in BOTH:
            answers = students.write(who, [prompts[place] for place in batch], tokens).answers
            for place, ids in zip(batch, answers, strict=True):
                found[who][place] = reader.written(ids)
            tick()
    return found
