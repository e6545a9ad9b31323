"""Counts of what was read and of what was left out, by reason."""

from collections import Counter

from libs.datasets._names import Reason, Subject


class Tally:
    """Of one making."""

    def __init__(self) -> None:
        self.read: Counter[Subject] = Counter()
        self._left_out: dict[Subject, Counter[Reason]] = {"examples": Counter(), "judgements": Counter()}
        self._left_out["rows"] = Counter()

    def leave_out(self, subject: Subject, reason: Reason, count: int = 1) -> None:
        """Notes it."""
        if count:
            self._left_out[subject][reason] += count

    def judgement(self, reason: Reason) -> None:
        """A judgement is left out."""
        self.leave_out("judgements", reason)

    @property
    def left_out(self) -> dict[str, dict[str, int]]:
        """Counts by subject and reason, in the order of their names."""
        return {subject: dict(sorted(counts.items())) for subject, counts in sorted(self._left_out.items())}


def unnoted(_: Reason) -> None:
    """For a second look at what was counted before."""
