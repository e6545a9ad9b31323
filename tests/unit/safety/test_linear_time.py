"""No text may cost more than its length: hostile strings of every kind grow the cost in step with their size."""

import time
from collections.abc import Callable

import pytest

from services.safety.adapters.injection import PhraseInjectionDetector
from services.safety.adapters.personal_data import PatternDetector
from services.safety.adapters.toxicity import PhraseToxicityDetector
from services.safety.domain.placeholders import already_written

CHECKS: dict[str, Callable[[str], object]] = {
    "personal data": PatternDetector().find,
    "injection": lambda text: PhraseInjectionDetector().score(text, "source"),
    "toxicity": PhraseToxicityDetector().score,
    "placeholders": lambda text: already_written([text]),
}
HOSTILE = [
    *(
        "a",
        "1",
        "1 ",
        "12 ",
        "@",
        "a@",
        "a.",
        "a@a.",
        ":",
        "::",
        "1:",
        "f:",
        "1.",
        "+",
        "+1",
        "0",
        "(",
        "4111 ",
        "- ",
        "é",
    ),
    *("eyJ", "eyJa.eyJa.", "-----BEGIN PRIVATE KEY-----", "AKIA", "sk-", "sk-a", "SG.a", "://", "a://a:", "a://a:a@"),
    *(
        "password=",
        "password is ",
        "token: a",
        "secret ",
        "[at]",
        "a (at) a.",
        "DE89",
        "DE89 ",
        "GB",
        "RSSMRA85T10A562S",
    ),
    *(
        "ignore ",
        "ignore all previous ",
        "you are ",
        "show me your ",
        "i g n o r e ",
        "a b ",
        "![",
        "](http",
        "![a](https://a?",
    ),
    *(
        "ZmZm",
        "6a",
        "<",
        "<|",
        "<EMAIL_ADDRESS_",
        "<EMAIL_ADDRESS_1>",
        "&#105;",
        "%20",
        "\u200b",
        "\U000e0041",
        "i will ",
        "\u0430",
    ),
]
SMALL = 8_192
HINTS = " :// 1 1.1.1 ::1 @ (at) eyJ AKIA -----BEGIN password= ignore you are show me your i kill &#105; %20 "
"""Switches on every pattern that is only tried where a hint of it stands."""


def cost(check: Callable[[str], object], text: str) -> float:
    """CPU seconds, the best of two, so that a busy machine does not matter."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        check(text)
        taken.append(time.process_time() - start)
    return min(taken)


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("name", CHECKS)
def test_eight_times_the_text_costs_about_eight_times_as_much(name: str, unit: str) -> None:
    small, large = (unit * (size // len(unit)) + HINTS for size in (SMALL, 8 * SMALL))
    assert cost(CHECKS[name], large) < 24 * cost(CHECKS[name], small) + 0.05


def test_a_hostile_megabyte_of_everything_is_searched_to_its_end() -> None:
    piece = "".join(HOSTILE) + "\n"
    text = piece * (1_000_000 // len(piece)) + " ada@example.org"
    assert PatternDetector().find(text)[-1].entity_type == "EMAIL_ADDRESS"
