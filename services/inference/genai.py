"""OpenTelemetry's names for generative AI, in one place: the conventions are still in development.

Follows the GenAI semantic conventions (spans and metrics). Content of messages is never recorded.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from opentelemetry.trace import get_current_span

from libs.language_models.generation import Finished, GenerationRequest
from libs.telemetry import Metrics


@dataclass
class Operation:
    """One chat completion: begun, first text, ended. Times in seconds."""

    metrics: Metrics
    model: str
    conversation_id: str
    now: Callable[[], float] = time.perf_counter
    began: float = field(init=False)
    first: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.began = self.now()

    def request(self, request: GenerationRequest) -> None:
        """Notes what was asked for."""
        get_current_span().set_attributes(
            {
                **self._who(),
                "gen_ai.conversation.id": self.conversation_id,
                "gen_ai.request.temperature": request.temperature,
                "gen_ai.request.top_p": request.top_p,
                "gen_ai.request.max_tokens": request.max_tokens or 0,
                "gen_ai.request.seed": request.seed or 0,
                "tailrace.adapter": request.adapter or "",
            }
        )

    def text(self) -> None:
        """Notes that text has come; only the first time counts."""
        if self.first is None:
            self.first = self.now()
            self.metrics.record("gen_ai.server.time_to_first_token", self.first - self.began, self._who())

    def finished(self, end: Finished) -> None:
        """Notes tokens, durations and the reason of the end."""
        now, who = self.now(), self._who()
        self.metrics.record("gen_ai.client.operation.duration", now - self.began, who)
        for kind, tokens in (("input", end.prompt_tokens), ("output", end.completion_tokens)):
            self.metrics.record("gen_ai.client.token.usage", tokens, {**who, "gen_ai.token.type": kind})
        if self.first is not None and end.completion_tokens > 1:
            each = (now - self.first) / (end.completion_tokens - 1)
            self.metrics.record("gen_ai.server.time_per_output_token", each, who)
        get_current_span().set_attributes(
            {
                "gen_ai.response.model": self.model,
                "gen_ai.response.finish_reasons": (end.finish_reason,),
                "gen_ai.usage.input_tokens": end.prompt_tokens,
                "gen_ai.usage.output_tokens": end.completion_tokens,
            }
        )

    def _who(self) -> dict[str, str]:
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "tailrace",
            "gen_ai.request.model": self.model,
        }
