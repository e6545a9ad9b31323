"""Whether a check's cost grows in step with its text, whatever the text is made of."""

import time
from collections.abc import Callable

SMALL = 8_192
HOSTILE = (
    *("a", "1", "1 ", "12 ", "@", "a@", "a.", "a@a.", ":", "::", "1:", "f:", "1.", "+", "+1", "0", "(", "4111 ", "- "),
    *("é", "eyJ", "eyJa.eyJa.", "-----BEGIN PRIVATE KEY-----", "AKIA", "sk-", "sk-a", "SG.a", "://", "a://a:"),
    *("a://a:a@", "password=", "password is ", "token: a", "secret ", "[at]", "a (at) a.", "DE89", "DE89 ", "GB"),
    *("RSSMRA85T10A562S", "ZmZm", "6a", "<", "<|", "<EMAIL_ADDRESS_", "<EMAIL_ADDRESS_1>", "&#105;", "%20"),
    *("\u200b", "\U000e0041", "\u0430"),
)
"""What patterns begin with, without what they end with."""


def cost(check: Callable[[str], object], text: str) -> float:
    """CPU seconds, the best of two, so that a busy machine does not matter."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        check(text)
        taken.append(time.process_time() - start)
    return min(taken)


def grows_in_step(check: Callable[[str], object], unit: str, hints: str = "", least: int = SMALL) -> bool:
    """Whether eight times the text costs about eight times as much. `hints` stand at the end of each."""
    small, large = (unit * (size // len(unit)) + hints for size in (least, 8 * least))
    return cost(check, large) < 24 * cost(check, small) + 0.05
