"""What a candidate's answers and the champion's came to since it has a share of the conversations, step by step.

A conversation is one witness at each step, by its first answer there; of judgements also a person is. What comes twice
is counted once. Holds no text and no ids, only short hashes of them.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from libs.model_registry import Turn
from schemas.base import ModelUsed
from schemas.feedback import ExampleRecorded, Judgement
from schemas.responses import ResponseReady
from services.evaluation.domain.canary import Measure
from services.evaluation.domain.sequential import Stratum, Tally

Arm = Literal["candidate", "champion"]
_DIGITS = 12
_ENOUGH = 50_000
"""Witnesses of a measure, an arm and a step: more of them tell nothing more."""
_STAGE = "inference"


class Side(BaseModel):
    """One arm of one measure. `seen`: hashes of its witnesses."""

    bad: int = 0
    of: int = 0
    seen: set[str] = Field(default_factory=set)

    def witness(self, *who: str) -> bool:
        """Whether none of them was here before."""
        if len(self.seen) >= _ENOUGH or not self.seen.isdisjoint(who):
            return False
        self.seen.update(who)
        return True

    def count(self, *, bad: bool) -> None:
        self.bad += bad
        self.of += 1

    @property
    def tally(self) -> Tally:
        return Tally(self.bad, self.of)


def _sides() -> dict[Arm, Side]:
    return {"candidate": Side(), "champion": Side()}


class Seen(BaseModel):
    """What was seen at one step. Of `slower`, the candidate's side holds pairs, and the champion's only witnesses."""

    refused: dict[Arm, Side] = Field(default_factory=_sides)
    disliked: dict[Arm, Side] = Field(default_factory=_sides)
    slower: dict[Arm, Side] = Field(default_factory=_sides)
    unpaired: tuple[Arm, float] | None = None
    """The last answer that had no other to be compared with, in milliseconds."""

    def stratum(self, measure: Measure) -> Stratum:
        sides: dict[Arm, Side] = getattr(self, measure)
        return Stratum(sides["candidate"].tally, None if measure == "slower" else sides["champion"].tally)

    @property
    def conversations(self) -> int:
        """That the candidate answered."""
        return self.refused["candidate"].of

    def pair(self, arm: Arm, took: float, clearly: float) -> None:
        """Answers are compared with the one before them that the other arm gave, so that both met the same load."""
        before, self.unpaired = self.unpaired, (arm, took)
        if before is None or before[0] == arm:
            return
        self.unpaired = None
        mine, other = (took, before[1]) if arm == "candidate" else (before[1], took)
        if max(mine, other) > clearly * min(mine, other):
            self.slower["candidate"].count(bad=mine > other)


class Trial(BaseModel):
    """One candidate's, from its first share on. Kept as JSON, with how far the log was read."""

    model: str
    champion: str | None
    base: str | None = None
    """As answers name it; known from the candidate's first one on. A bare base is told from other models by it."""
    steps: dict[int, Seen] = Field(default_factory=dict)
    """By the revision that gave the share."""
    positions: dict[str, dict[int, int]] = Field(default_factory=dict)
    """Of each topic and partition, what comes next."""
    asked: dict[str, datetime] = Field(default_factory=dict)
    """Wishes that were said, by id."""

    def take_outcome(self, outcome: ResponseReady, turns: Sequence[Turn], clearly: float) -> None:
        """An answer, or that there was none."""
        arm, seen = self._arm(outcome.model), self._step(turns, outcome.created_at)
        if arm is None or seen is None or (outcome.reason is not None and outcome.reason.code == "cancelled"):
            return
        who = _hash("conversation", outcome.tenant, outcome.conversation_id)
        if seen.refused[arm].witness(who):
            seen.refused[arm].count(bad=outcome.status != "answered")
        took = outcome.timings_ms.get(_STAGE)
        if outcome.status == "answered" and not outcome.cached and took and seen.slower[arm].witness(who):
            seen.pair(arm, took, clearly)

    def take_example(self, example: ExampleRecorded, turns: Sequence[Turn]) -> None:
        """An answer with what was said of it."""
        arm, seen = self._arm(example.model), self._step(turns, example.answered_at)
        if arm is None or seen is None or not example.judgements:
            return
        last = max(example.judgements, key=lambda it: it.created_at)
        bad = _is_bad(last)
        people = [_hash("subject", example.tenant, last.subject)] if last.subject is not None else []
        who = (_hash("conversation", example.tenant, example.conversation_id), *people)
        if bad is not None and seen.disliked[arm].witness(*who):
            seen.disliked[arm].count(bad=bad)

    def _arm(self, model: ModelUsed | None) -> Arm | None:
        if model is None:
            return None
        if model.adapter == self.model:
            self.base = self.base or model.name
            return "candidate"
        if model.adapter != self.champion or (self.champion is None and model.name != self.base):
            return None
        return "champion"

    def _step(self, turns: Sequence[Turn], at: datetime) -> Seen | None:
        """Where an answer of that time belongs. None: before all of them."""
        turn = next((turn for turn in reversed(turns) if turn.at <= at), None)
        return None if turn is None else self.at(turn.revision)

    def at(self, revision: int) -> Seen:
        """What was seen since that change."""
        return self.steps.setdefault(revision, Seen())


def _is_bad(judgement: Judgement) -> bool | None:
    """None: neither. Whoever edits a text was not content with it; a choice names the better of two."""
    match judgement.kind:
        case "thumb":
            return judgement.value is False
        case "rating":
            stars = int(judgement.value)
            return None if stars == 3 else stars < 3
        case "choice":
            return False
        case "edit" | "report":
            return True


def _hash(*told: str) -> str:
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:_DIGITS]
