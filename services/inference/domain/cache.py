"""The exact cache: the same request of the same tenant gets the same answer without the engine.

Only for requests whose answer is determined: temperature 0, or a seed. Bounded by count and age; time comes in.
"""

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.clock import Clock
from schemas.completions import FinishReason
from schemas.prompts import PromptCleared


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine wrote."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int


class ExactCache:
    """Least recently used goes first."""

    def __init__(self, *, entries: int, lifetime: timedelta, clock: Clock) -> None:
        self._entries = entries
        self._lifetime = lifetime
        self._clock = clock
        self._answers: OrderedDict[str, tuple[datetime, Answer]] = OrderedDict()

    def find(self, key: str | None) -> Answer | None:
        """The answer kept under a key. None, too, for a request that may not be cached."""
        if key is None or (found := self._answers.get(key)) is None:
            return None
        kept_at, answer = found
        if self._clock() - kept_at > self._lifetime:
            del self._answers[key]
            return None
        self._answers.move_to_end(key)
        return answer

    def keep(self, key: str | None, answer: Answer) -> None:
        """Remembers an answer."""
        if key is None or self._entries == 0:
            return
        self._answers[key] = (self._clock(), answer)
        self._answers.move_to_end(key)
        if len(self._answers) > self._entries:
            self._answers.popitem(last=False)


def cache_key(
    event: PromptCleared, *, model: str, adapter: str | None, temperature: float, max_tokens: int
) -> str | None:
    """Hash of all that decides the answer, the tenant included. None: the answer is left to chance."""
    parameters = event.parameters
    if temperature > 0 and parameters.seed is None:
        return None
    deciding = [
        event.tenant,
        model,
        adapter,
        [[message.role, message.content] for message in event.messages],
        temperature,
        max_tokens,
        parameters.model_dump(mode="json", exclude={"temperature", "max_completion_tokens"}),
    ]
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()
