"""No text may cost more than its length: hostile strings of every kind grow the cost in step with their size."""

from collections.abc import Callable

import pytest

from libs.content_safety import PhraseInjectionDetector, PhraseToxicityDetector
from tests.support.linear_time import HOSTILE, grows_in_step

CHECKS: dict[str, Callable[[str], object]] = {
    "injection": lambda text: PhraseInjectionDetector().score(text, "source"),
    "toxicity": PhraseToxicityDetector().score,
}
PHRASES = (
    *("ignore ", "ignore all previous ", "you are ", "show me your ", "i g n o r e ", "a b ", "![", "](http"),
    *("![a](https://a?", "i will "),
)
HINTS = " ignore you are show me your i kill &#105; %20 "
"""Switches on every pattern that is only tried where a hint of it stands."""


@pytest.mark.parametrize("unit", [*HOSTILE, *PHRASES])
@pytest.mark.parametrize("name", CHECKS)
def test_eight_times_the_text_costs_a_check_about_eight_times_as_much(name: str, unit: str) -> None:
    assert grows_in_step(CHECKS[name], unit, HINTS)
