"""What is known of one response, whichever facts came first."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.feedback.domain.facts import AnswerSeen, CaseKey, OutcomeSeen, PromptSeen, Said

IN_DOUBT = ""
"""In place of a digest: what the log holds is not known. It equals none."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A prompt with the answer it got."""

    prompt: PromptSeen
    answer: AnswerSeen
    outcome: OutcomeSeen


@dataclass(frozen=True, slots=True)
class Case:
    """One response: the facts so far, and the digest of the example that was last written about it."""

    key: CaseKey
    prompts: Mapping[str, PromptSeen] = field(default_factory=dict)
    answers: Mapping[str, AnswerSeen] = field(default_factory=dict)
    outcome: OutcomeSeen | None = None
    said: tuple[Said, ...] = ()
    """In the order of their ids; at most as many as were asked for."""
    more: int = 0
    """Judgements beyond those."""
    named: bool = False
    """A choice about another response names this one."""
    published: str | None = None

    @property
    def answered(self) -> Answered | None:
        """Prompt and answer, once both and the outcome are known."""
        if self.outcome is None or self.outcome.status != "answered":
            return None
        answer = self._answer(self.outcome)
        prompt = self.prompts.get(answer.submitted_at.isoformat()) if answer is not None else None
        return Answered(prompt, answer, self.outcome) if prompt is not None and answer is not None else None

    def _answer(self, outcome: OutcomeSeen) -> AnswerSeen | None:
        if outcome.cause is not None:
            return self.answers.get(outcome.cause)
        return min(self.answers.values(), key=lambda answer: answer.place, default=None)
