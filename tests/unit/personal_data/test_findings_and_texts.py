"""What detection rests on: overlaps resolved, positions that lead back, replacing that ends."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.personal_data import Finding, Unmaskable, plain, replaced, without_overlaps


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), max_size=12))
def test_overlaps_are_resolved_and_nothing_is_made_up(spans: list[tuple[int, int]]) -> None:
    findings = [Finding(start, start + length, "IBAN") for start, length in spans]
    kept = without_overlaps(findings)
    assert all(a.end <= b.start for a, b in pairwise(kept))
    assert set(kept) <= set(findings)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_positions_of_the_plain_text_lead_back_to_the_original(text: str) -> None:
    reading = plain(text)
    for i, character in enumerate(reading.text):
        start, end = reading.span(i, i + 1)
        assert end == start + 1
        assert plain(text[start]).text == character


def test_values_that_overlap_without_end_are_reported_and_not_passed() -> None:
    def insatiable(text: str) -> Sequence[Finding]:
        return [Finding(0, 1, "PASSWORD")] if text else []

    with pytest.raises(Unmaskable):
        replaced("text", insatiable, lambda *_: "x")
