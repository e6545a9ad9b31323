"""Whether one thing happens more often to one of two than to the other, by a test that may be looked at any time.

Of each arm, `bad` of `of` independent items. The evidence against a rate is the likelihood of what was seen under a
mixture of all rates (Beta(1/2, 1/2)) over its likelihood under that rate: a martingale if the rate is true, so that the
odds of its ever reaching 1/alpha are at most alpha (Ville), whenever, however often and for whatever reason one looks
(Robbins 1970; of two arms Turner, Ly and Grunwald 2024). Steps of a trial are strata: each has rates of its own, as
time goes on, and their evidence multiplies.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_HALVINGS, _SECTIONS = 24, 40
"""Of a search for a bound (to a ten millionth), and for the least of a curve."""


@dataclass(frozen=True)
class Tally:
    """So many of so many."""

    bad: int = 0
    of: int = 0

    @property
    def rate(self) -> float | None:
        """None: nothing was seen."""
        return self.bad / self.of if self.of else None


@dataclass(frozen=True)
class Stratum:
    """What was seen at one step. `champion` None: its rate is known, `known`."""

    candidate: Tally
    champion: Tally | None
    known: float = 0.5

    @property
    def difference(self) -> float:
        """The likeliest one; where one arm saw nothing, none."""
        other = self.known if self.champion is None else self.champion.rate
        mine = self.candidate.rate
        return 0.0 if mine is None or other is None else mine - other

    def evidence(self, difference: float) -> float:
        """Against that difference, as a logarithm: the least over all rates that differ so."""
        if self.champion is None:
            return against(self.candidate, _rate(self.known + difference))
        champion = self.champion
        low, high = max(0.0, -difference), min(1.0, 1.0 - difference)
        if not champion.of or not self.candidate.of:
            # Rates of the arm that saw nothing are free.
            return against(champion, champion.rate or 0.0) + against(self.candidate, self.candidate.rate or 0.0)

        def of_both(rate: float) -> float:
            return against(champion, rate) + against(self.candidate, _rate(rate + difference))

        return _least(of_both, low, high)


def against(tally: Tally, rate: float) -> float:
    """Natural logarithm of the evidence that the rate is another one; above zero: it is."""
    good = tally.of - tally.bad
    likelihood = _times_log(tally.bad, rate) + _times_log(good, 1.0 - rate)
    return _log_beta(tally.bad + 0.5, good + 0.5) - _log_beta(0.5, 0.5) - likelihood


def bounds(strata: Sequence[Stratum], alpha: float) -> tuple[float, float]:
    """(low, high): the difference is above `low`, and it is below `high`. Each is wrong with odds of alpha, ever.

    Of some step at least, where steps differ.
    """
    wanted = -math.log(alpha)

    def is_above(bound: float) -> bool:
        # Evidence against each difference up to there; the least of it is that of the likeliest of them.
        return math.fsum(it.evidence(min(it.difference, bound)) for it in strata) >= wanted

    def is_below(bound: float) -> bool:
        return math.fsum(it.evidence(max(it.difference, bound)) for it in strata) >= wanted

    return _last(is_above), -_last(lambda bound: is_below(-bound))


def _last(holds: Callable[[float], bool]) -> float:
    """The largest number from -1 to 1 for which it holds; it holds for all below it, too. -1: for none."""
    low, high = -1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _least(of: Callable[[float], float], low: float, high: float) -> float:
    """Of a convex function (golden section)."""
    golden = (math.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = of(left), of(right)
    for _ in range(_SECTIONS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = of(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = of(right)
    return min(at_left, at_right, of(low), of(high))


def _rate(value: float) -> float:
    return min(1.0, max(0.0, value))


def _times_log(times: int, value: float) -> float:
    """Nothing times the logarithm of nothing is nothing."""
    if not times:
        return 0.0
    return times * math.log(value) if value > 0 else -math.inf


def _log_beta(one: float, other: float) -> float:
    return math.lgamma(one) + math.lgamma(other) - math.lgamma(one + other)
