"""No text may cost detection more than its length, whatever it is made of."""

from collections.abc import Callable

import pytest

from libs.personal_data import PatternDetector, already_written
from tests.support.linear_time import HOSTILE, grows_in_step

CHECKS: dict[str, Callable[[str], object]] = {
    "personal data": PatternDetector().find,
    "placeholders": lambda text: already_written([text]),
}
HINTS = " :// 1 1.1.1 ::1 @ (at) eyJ AKIA -----BEGIN password= "
"""Switches on every pattern that is only tried where a hint of it stands."""


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("name", CHECKS)
def test_eight_times_the_text_costs_about_eight_times_as_much(name: str, unit: str) -> None:
    assert grows_in_step(CHECKS[name], unit, HINTS)


def test_a_hostile_megabyte_of_everything_is_searched_to_its_end() -> None:
    piece = "".join(HOSTILE) + "\n"
    text = piece * (1_000_000 // len(piece)) + " ada@example.org"
    assert PatternDetector().find(text)[-1].entity_type == "EMAIL_ADDRESS"
