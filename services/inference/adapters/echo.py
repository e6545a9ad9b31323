"""An engine that repeats the last message: deterministic and fast, for tests, benchmarks and trying out a stack.

Its tokens are words with the white space before them. It obeys limits, stop strings and lanes' neutrality; asked for
JSON it wraps the text in an object.
"""

import asyncio
import json
import re
from types import TracebackType
from typing import Self

from libs.bus import Rejected
from libs.language_models.generation import Delta, Finished, FinishReason, GenerationRequest
from services.inference.ports import Stream

_TOKEN = re.compile(r"\s*\S+|\s+$")


class EchoEngine:
    """`token_seconds`: pause before each token. `context_tokens`: words of prompt and answer together."""

    def __init__(self, model: str = "echo", *, token_seconds: float = 0.0, context_tokens: int = 8192) -> None:
        self.models: tuple[str, ...] = (model,)
        self._token_seconds = token_seconds
        self._context_tokens = context_tokens
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False

    def ready(self) -> bool:
        return self._open

    async def load(self, adapter: str) -> None:
        """Any name will do: what serves can be seen in the completions."""

    async def generate(self, request: GenerationRequest) -> Stream:
        read = sum(len(_TOKEN.findall(message.content)) for message in request.messages)
        if read >= self._context_tokens:
            raise Rejected(
                f"the prompt has {read} tokens; the context window is {self._context_tokens}", code="too_long"
            )
        tokens, reason = self._plan(request, self._context_tokens - read)
        for token in tokens:
            await asyncio.sleep(self._token_seconds)
            yield Delta(token)
        seed = request.seed if request.temperature > 0 else None
        yield Finished(reason, read, len(tokens), seed)

    def _plan(self, request: GenerationRequest, room: int) -> tuple[list[str], FinishReason]:
        text = _text(request)
        limit = min(request.max_tokens or room, room)
        tokens = _TOKEN.findall(text)
        reason: FinishReason = "length" if len(tokens) > limit else "stop"
        shown = "".join(tokens[:limit])
        ends = [index for stop in request.stop if (index := shown.find(stop)) >= 0]
        if ends:
            return _TOKEN.findall(shown[: min(ends)]), "stop"
        return tokens[:limit], reason


def _text(request: GenerationRequest) -> str:
    last = request.messages[-1].content
    return last if request.json_schema is None else json.dumps({"echo": last})
