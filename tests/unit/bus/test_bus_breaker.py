"""The failure gauge against the plain reading of its rule."""

from hypothesis import given
from hypothesis import strategies as st

from libs.bus import FailureGauge


@given(st.lists(st.booleans(), max_size=80), st.integers(1, 30), st.integers(1, 20))
def test_it_trips_when_most_of_the_newest_results_failed(results: list[bool], size: int, minimum: int) -> None:
    gauge = FailureGauge(size, minimum)
    for count, failed in enumerate(results, 1):
        gauge.note(failed=failed)
        newest = results[max(0, count - size) : count]
        assert gauge.tripped == (len(newest) >= minimum and sum(newest) > len(newest) / 2)
