"""The test that may be looked at any time: it is rarely wrong however often one looks, and it finds what is there."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.evaluation.domain.sequential import Stratum, Tally, against, bounds

ALPHA = 0.05


def tallies(most: int = 60) -> st.SearchStrategy[Tally]:
    return st.integers(0, most).flatmap(lambda of: st.builds(Tally, st.integers(0, of), st.just(of)))


def strata() -> st.SearchStrategy[list[Stratum]]:
    return st.lists(st.builds(Stratum, tallies(), st.one_of(st.none(), tallies())), min_size=1, max_size=3)


def brute(stratum: Stratum, difference: float) -> float:
    """The least evidence by trying a thousand rates."""
    assert stratum.champion is not None
    rates = [number / 1000 for number in range(1001) if 0 <= number / 1000 + difference <= 1]
    return min(against(stratum.champion, it) + against(stratum.candidate, min(1.0, it + difference)) for it in rates)


@pytest.mark.parametrize("rate", [0.07, 0.5, 0.9])
def test_the_evidence_against_a_rate_that_is_true_is_expected_to_be_one(rate: float) -> None:
    of = 12

    def odds(bad: int) -> float:
        return math.comb(of, bad) * rate**bad * (1 - rate) ** (of - bad)

    expected = sum(odds(bad) * math.exp(against(Tally(bad, of), rate)) for bad in range(of + 1) if odds(bad))
    assert expected == pytest.approx(1.0)


@given(
    st.builds(Stratum, tallies().filter(lambda it: it.of > 0), tallies().filter(lambda it: it.of > 0)),
    st.integers(-90, 90),
)
def test_the_evidence_against_a_difference_is_the_least_over_all_pairs_of_rates(
    stratum: Stratum, hundredths: int
) -> None:
    difference = hundredths / 100
    found = stratum.evidence(difference)
    assert found <= brute(stratum, difference) + 1e-9
    # Nor is it less than any pair of rates has.
    assert found >= brute(stratum, difference) - 0.05 * max(1, stratum.candidate.of + stratum.champion.of)  # type: ignore[union-attr]


@settings(max_examples=50)
@given(strata())
def test_bounds_are_in_order_and_hold_what_was_seen(seen: list[Stratum]) -> None:
    low, high = bounds(seen, ALPHA)
    assert low >= -1
    assert high <= 1
    # Of steps that contradict each other, one may be above and another one below.
    if len(seen) == 1:
        assert low <= seen[0].difference <= high
    # Who wants to be surer knows less.
    surer = bounds(seen, ALPHA / 10)
    assert surer[0] <= low
    assert surer[1] >= high


@settings(max_examples=30)
@given(strata())
def test_the_order_of_steps_is_no_matter(seen: list[Stratum]) -> None:
    assert bounds(seen, ALPHA) == pytest.approx(bounds(seen[::-1], ALPHA), abs=1e-6)


@pytest.mark.parametrize("stratum", [Stratum(Tally(9, 60), Tally(12, 240)), Stratum(Tally(30, 80), None)])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_a_bound_lies_where_the_evidence_is_as_strong_as_the_odds_ask_for(stratum: Stratum, alpha: float) -> None:
    for bound in bounds([stratum], alpha):
        assert stratum.evidence(bound) == pytest.approx(-math.log(alpha), abs=1e-3)


def test_nothing_seen_says_nothing() -> None:
    assert bounds([Stratum(Tally(), Tally())], ALPHA) == pytest.approx((-1, 1))
    assert bounds([Stratum(Tally(9, 9), Tally())], ALPHA) == pytest.approx((-1, 1))
    assert bounds([Stratum(Tally(), None)], ALPHA) == pytest.approx((-1, 1))


def looks(chance: random.Random, candidate: float, champion: float | None, items: int) -> list[Stratum]:
    """What there is to see after each item, in two steps of different shares."""
    arms, seen, before = [0, 0, 0, 0], [], []
    for number in range(items):
        if number == items // 2:
            before, arms = [_stratum(arms, champion)], [0, 0, 0, 0]
        mine = champion is None or chance.random() < (0.3 if number < items // 2 else 0.6)
        arms[1 if mine else 3] += 1
        arms[0 if mine else 2] += chance.random() < (candidate if mine else champion or 0.0)
        seen.append([*before, _stratum(arms, champion)])
    return seen  # type: ignore[return-value]


def _stratum(arms: list[int], champion: float | None) -> Stratum:
    return Stratum(Tally(arms[0], arms[1]), None if champion is None else Tally(arms[2], arms[3]))


def ever(
    chance: random.Random, candidate: float, champion: float | None, items: int, runs: int, wrong: Callable[..., bool]
) -> int:
    """In how many runs it is so at any look."""
    found = 0
    for _ in range(runs):
        found += any(wrong(it) for it in looks(chance, candidate, champion, items)[::4])
    return found


@pytest.mark.parametrize(("candidate", "champion"), [(0.1, 0.1), (0.3, 0.3), (0.5, None)])
def test_however_often_one_looks_a_candidate_that_is_no_worse_is_seldom_found_to_be(
    candidate: float, champion: float | None
) -> None:
    chance = random.Random(20260302)

    def found_worse(seen: list[Stratum]) -> bool:
        return math.fsum(it.evidence(min(it.difference, 0.0)) for it in seen) >= -math.log(ALPHA)

    def found_worse_by_two_sigma(seen: list[Stratum]) -> bool:
        it = seen[-1]
        other = it.known if it.champion is None else it.champion.rate
        if not it.candidate.of or other is None:
            return False
        spread = math.sqrt(0.25 / it.candidate.of) if it.champion is None else _spread(it.candidate, it.champion)
        return it.difference > 1.645 * spread > 0

    runs = 150
    # Odds of more than 15 of 150, were each wrong with odds of 0.05, are below one in a thousand.
    assert ever(chance, candidate, champion, 240, runs, found_worse) <= 15
    # Who looks as often with the usual test of the same odds is wrong far more often: the looks do matter.
    assert ever(chance, candidate, champion, 240, runs, found_worse_by_two_sigma) > 15


def _spread(one: Tally, other: Tally) -> float:
    return math.sqrt(sum((it.rate or 0) * (1 - (it.rate or 0)) / it.of for it in (one, other) if it.of))


@pytest.mark.parametrize(
    ("candidate", "champion", "by", "shown"),
    [
        (Tally(60, 400), Tally(20, 2000), 0.05, "worse"),
        (Tally(4, 500), Tally(20, 2000), 0.05, "no worse"),
        (Tally(2, 20), Tally(0, 100), 0.05, "nothing"),
        (Tally(40, 40), None, 0.2, "worse"),
        (Tally(100, 200), None, 0.2, "no worse"),
        (Tally(24, 40), None, 0.2, "nothing"),
    ],
)
def test_what_is_there_is_found(candidate: Tally, champion: Tally | None, by: float, shown: str) -> None:
    low, high = bounds([Stratum(candidate, champion)], ALPHA / 3)
    assert shown == ("worse" if low > by else "no worse" if high < by else "nothing")


def test_evidence_of_steps_adds_up_and_a_drift_between_them_is_no_difference() -> None:
    step = Stratum(Tally(9, 60), Tally(12, 240))
    alone, thrice = bounds([step], ALPHA), bounds([step] * 3, ALPHA)
    assert thrice[0] > alone[0]
    assert thrice[1] < alone[1]
    # Everything became worse when the share rose: thrown together, the candidate would look worse by 0.13.
    drifted = [Stratum(Tally(5, 50), Tally(95, 950)), Stratum(Tally(200, 500), Tally(200, 500))]
    low, high = bounds(drifted, ALPHA)
    assert low < 0 < high
    # The two of them as one would say so with great certainty.
    assert bounds([Stratum(Tally(205, 550), Tally(295, 1450))], ALPHA / 100)[0] > 0.04
