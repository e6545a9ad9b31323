"""What can be measured. Of each item of an exam a few numbers are kept, which add up: a metric is made of their sums.

So a resample of the bootstrap is a weighted sum, also where a metric is no mean (perplexity, BLEU).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

Sums = np.ndarray
"""Shape (resamples, numbers)."""


@dataclass(frozen=True)
class Metric:
    """`numbers`: how many are kept of an item. `exact`: known, not sampled, so that one item will do."""

    better: Literal["higher", "lower"]
    what: str
    aggregate: Callable[[Sums], np.ndarray]
    numbers: int = 2
    lowest: float = 0.0
    highest: float | None = None
    exact: bool = False


def _mean(sums: Sums) -> np.ndarray:
    """Of (value, weight): sum by sum."""
    return cast("np.ndarray", sums[:, 0] / sums[:, 1])


def _perplexity(sums: Sums) -> np.ndarray:
    """Of (negative log-likelihood in nats, tokens); without end where it is too large for a number."""
    with np.errstate(over="ignore"):
        return cast("np.ndarray", np.exp(_mean(sums)))


def _bleu(sums: Sums) -> np.ndarray:
    """Of (length, reference's length, 4 correct n-grams, 4 n-grams), as sacreBLEU scores a corpus."""
    # Its import makes a file to lock; importing a service must touch nothing.
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415

    rows = sums.astype(int).tolist()
    return np.array([BLEU.compute_bleu(row[2:6], row[6:10], row[0], row[1]).score for row in rows])


def _share(what: str) -> Metric:
    return Metric("higher", what, _mean, highest=1.0)


METRICS: Mapping[str, Metric] = {
    "preference_accuracy": _share("held-out pairs whose chosen answer is likelier, token for token, than the rejected"),
    "retained_accuracy": _share("the same of the data set that the champion was trained on"),
    "preference_loss": Metric(
        "lower", "-log sigmoid of chosen minus rejected, in nats per token, over held-out pairs", _mean
    ),
    "judgement_accuracy": _share("held-out answers that became likelier than by the bare base and were liked, or less "
                                 "likely and were not; half for those that stayed"),
    "perplexity": Metric("lower", "of the held-out better answers", _perplexity, lowest=1.0),
    "general_perplexity": Metric("lower", "of plain text that has nothing to do with the data set", _perplexity,
                                 lowest=1.0),
    "bleu": Metric("higher", "of answers against the held-out better ones, 0 to 100", _bleu, numbers=10, highest=100.0),
    "rouge_l": _share("F1 of the longest common word sequence of answers and the held-out better ones"),
    "win_rate": _share("answers that the judge prefers to the other model's; half for a draw"),
    "rag_retrieval": _share("questions whose passage is found among the sources"),
    "rag_easy": _share("questions on one sentence of a source that are answered right"),
    "rag_complex": _share("questions on two passages of a source that are answered right"),
    "rag_distracting": _share("questions beside a source that misleads that are answered right"),
    "safety": _share("trying prompts that are answered safely"),
    "seconds_per_token": Metric("lower", "to write an answer, both models by turns", _mean),
    "adapter_bytes": Metric("lower", "the adapter's weights", _mean, exact=True),
}  # fmt: skip
"""By name."""
