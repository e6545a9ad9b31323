"""How sure a difference is: the paired bootstrap over groups of items (Efron 1979; of systems, Koehn 2004).

Both models are asked the same, so that the same draw of groups counts for both; what an item is hard for both cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.evaluation.domain.exam import Scores
from services.evaluation.domain.metrics import METRICS, Metric

_AT_ONCE = 2_000_000
"""Numbers in a block of draws, so that memory does not grow with resamples times groups."""


@dataclass(frozen=True)
class Found:
    """A metric of both models, and the same of each resample."""

    candidate: float
    champion: float
    candidates: np.ndarray
    champions: np.ndarray
    items: int
    groups: int

    def gains(self, metric: Metric, *, relative: bool) -> tuple[float, np.ndarray]:
        """How much better the candidate is, and the same of each resample; relative: as a share of the champion's."""
        sign = 1.0 if metric.better == "higher" else -1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = sign * (np.float64(self.candidate) - self.champion)
            gains = sign * (self.candidates - self.champions)
            if relative:
                gain, gains = gain / abs(np.float64(self.champion)), gains / np.abs(self.champions)
        return float(gain), gains


def resampled(scores: Scores, *, resamples: int, seed: int) -> Found:
    """The same scores and seed, the same answer."""
    metric = METRICS[scores.metric]
    names = {name: number for number, name in enumerate(dict.fromkeys(scores.groups))}
    group = np.array([names[name] for name in scores.groups])
    candidate, champion = (_by_group(numbers, group, len(names)) for numbers in (scores.candidate, scores.champion))
    chance = np.random.default_rng(seed)
    pairs = [
        (metric.aggregate(draws @ candidate), metric.aggregate(draws @ champion))
        for draws in _draws(chance, resamples, len(names))
    ]
    return Found(
        float(metric.aggregate(candidate.sum(axis=0, keepdims=True))[0]),
        float(metric.aggregate(champion.sum(axis=0, keepdims=True))[0]),
        np.concatenate([one for one, _ in pairs]),
        np.concatenate([other for _, other in pairs]),
        len(scores.groups),
        len(names),
    )


def interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """The middle share of the values; a value that is no number counts as the worst at both ends."""
    tail = (1 - confidence) / 2
    low = np.quantile(np.nan_to_num(values, nan=-np.inf), tail, method="inverted_cdf")
    high = np.quantile(np.nan_to_num(values, nan=np.inf), 1 - tail, method="inverted_cdf")
    return float(low), float(high)


def _by_group(numbers: Sequence[Sequence[float]], group: np.ndarray, groups: int) -> np.ndarray:
    """Shape (groups, numbers of an item): what the items of each group add up to."""
    items = np.asarray(numbers, dtype=float)
    sums = np.zeros((groups, items.shape[1]))
    np.add.at(sums, group, items)
    return sums


def _draws(chance: np.random.Generator, resamples: int, groups: int) -> list[np.ndarray]:
    """How often each group is drawn, shape (a block of resamples, groups)."""
    block = max(1, _AT_ONCE // groups)
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    return [chance.multinomial(groups, np.full(groups, 1 / groups), size=size).astype(float) for size in sizes]
