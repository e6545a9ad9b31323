"""Scores against rules: what a policy has to say of a prompt's pieces. Knows no detector and no event."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from services.safety.domain.pieces import Piece
from services.safety.domain.policy import CheckRule, PromptCheckRules, SourceAction, SourceRule

Check = Literal["injection", "toxicity"]


@dataclass(frozen=True, slots=True)
class Concern:
    """A piece whose score reached its rule's threshold."""

    check: Check
    piece: Piece
    action: SourceAction

    @property
    def flag(self) -> str:
        """How events name it, e.g. `injection:source`."""
        return f"{self.check}:{self.piece.provenance}"


def concerns(check: Check, scores: Iterable[tuple[Piece, float]], rules: PromptCheckRules) -> Iterator[Concern]:
    """The pieces that policy does not simply allow."""
    for piece, score in scores:
        rule = rules.rule(piece.provenance)
        if reached(score, rule):
            yield Concern(check, piece, rule.action)


def reached(score: float, rule: CheckRule | SourceRule) -> bool:
    """Whether a score calls for the rule's action."""
    return rule.action != "allow" and score >= rule.threshold
