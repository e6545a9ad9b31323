"""Findings give way to what stands for them, until nothing is found. Knows no policy and no numbering."""

from collections.abc import Callable, Iterable, Sequence

from libs.personal_data._findings import Finding

Find = Callable[[str], Sequence[Finding]]
"""What a detector offers: findings without overlaps, in reading order."""

ROUNDS = 8
"""Masking one value can lay bare another that overlapped it. Honest text needs two rounds."""


class Unmaskable(ValueError):  # noqa: N818 - it names what the text is
    """Values overlap so deeply that the text cannot be cleaned: made up to confuse."""


def replaced(text: str, find: Find, substitute: Callable[[Finding, str], str]) -> str:
    """The text with each finding substituted, searched again until nothing is found. Raises Unmaskable."""
    for _ in range(ROUNDS):
        findings = find(text)
        if not findings:
            return text
        text = substituted(text, findings, substitute)
    raise Unmaskable(f"values still overlap after {ROUNDS} rounds of masking")


def substituted(text: str, findings: Iterable[Finding], substitute: Callable[[Finding, str], str]) -> str:
    """The text with each finding substituted, once. The findings must be in reading order, without overlaps."""
    parts, past = [], 0
    for finding in findings:
        parts += [text[past : finding.start], substitute(finding, text[finding.start : finding.end])]
        past = finding.end
    return "".join([*parts, text[past:]])
