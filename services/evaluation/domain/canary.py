"""A plan of a canary: on how many conversations a candidate is tried, for how long, and what must not become worse.

Frozen and strict, as gates are.
"""

from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from libs.rules import Rules, Section
from schemas.training import RecipeName

Measure = Literal["refused", "disliked", "slower"]


class Step(Section):
    """A share, and what it takes to leave it for the next one. All of it."""

    share: float = Field(gt=0, lt=1)
    """Of the conversations."""
    minutes: float = Field(default=10.0, ge=0)
    conversations: int = Field(default=50, ge=1)
    """That the candidate has answered at this share."""


class Guard(Section):
    """One thing that must not become worse."""

    measure: Measure
    """`refused`: conversations whose answer was withheld, late or not in the form that was asked for. `disliked`: of
    those somebody judged, the ones that were judged badly. `slower`: of pairs of answers of the same time, of which one
    took clearly longer, those where it was the candidate's; one half where both are as fast."""
    by: float = Field(ge=0, lt=1)
    """So much is not worse yet. A share; of `slower`, above one half."""
    shown: bool = True
    """Whether it must have been shown, before the candidate gets all conversations; else it only must not be broken."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.measure == "slower" and self.by >= 0.5:
            raise ValueError("slower is counted from one half: nothing is above it by 0.5 or more")
        return self


class Canary(Rules):
    """A page of YAML."""

    name: RecipeName
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """That a candidate which is no worse is never rolled back by any of the rules, however often one looks."""
    patience_hours: float = Field(default=72.0, gt=0)
    """After so long, what has not been shown is not: it is rolled back."""
    clearly: float = Field(default=1.25, ge=1, allow_inf_nan=False)
    """So many times as long is clearly longer."""
    steps: tuple[Step, ...]
    rules: tuple[Guard, ...]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        shares = [step.share for step in self.steps]
        if not shares or not self.rules:
            raise ValueError('"steps" and "rules" are needed: a canary that looks at nothing is none')
        if any(after <= before for before, after in pairwise(shares)):
            raise ValueError(f'"steps" must rise from share to share: {", ".join(f"{it:g}" for it in shares)} do not')
        named = [rule.measure for rule in self.rules]
        if twice := [name for name in named if named.count(name) > 1]:
            raise ValueError(f'"{twice[0]}" stands twice: keep one')
        return self

    @property
    def alpha(self) -> float:
        """Of each rule."""
        return (1 - self.confidence) / len(self.rules)

    def step_at(self, share: float) -> Step:
        """The one that a share belongs to."""
        return next((step for step in self.steps if step.share >= share), self.steps[-1])

    def share_after(self, share: float) -> float:
        """The next one; 1: all."""
        return next((step.share for step in self.steps if step.share > share), 1.0)
