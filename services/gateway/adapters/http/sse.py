"""A stream as OpenAI writes it: the role first, then text, the end with its reason, usage if asked for, `[DONE]`.

After an error in mid-stream there is no `[DONE]`: the answer did not end. Comments keep silent streams open.
"""

from starlette.types import Send

from schemas.responses import ResponseReady
from services.gateway.adapters.http.errors import ApiError
from services.gateway.adapters.http.responses import (
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    Finish,
    TailraceResult,
    Usage,
    chunk_json,
    finish_of,
    result_of,
    usage_of,
)
from services.gateway.domain import Streamed

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # nginx would gather the stream otherwise.
    (b"x-accel-buffering", b"no"),
]


class EventStream:
    """The events of one completion, in the order of the calls."""

    def __init__(self, send: Send, completion_id: str, created: int, model: str, *, with_usage: bool) -> None:
        self._send = send
        self._id = completion_id
        self._created = created
        self._model = model
        self._with_usage = with_usage
        self._streamed = Streamed()

    async def begin(self) -> None:
        """Status, headers, and the chunk that says who speaks."""
        await self._send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        await self._chunk(Delta(role="assistant", content=""))

    async def text(self, text: str) -> None:
        """More of the answer."""
        self._streamed.add(text)
        await self._chunk(Delta(content=text))

    async def keep_alive(self) -> None:
        """A comment, which clients skip."""
        await self._write(b": keep-alive\n\n")

    async def finish(self, outcome: ResponseReady) -> None:
        """What is still missing of the text, why it ends, usage if asked for, and the end."""
        rest = self._streamed.rest_of(outcome.text or "") if outcome.status == "answered" else ""
        if rest:
            await self.text(rest)
        if outcome.status != "answered" and outcome.reason is not None:
            await self._chunk(Delta(refusal=outcome.reason.message))
        result = result_of(outcome, text=outcome.text if rest is None else None)
        await self._chunk(Delta(), finish_of(outcome), result)
        if self._with_usage:
            await self._event(self._made((), usage=usage_of(outcome)))
        await self._write(b"data: [DONE]\n\n", more=False)

    async def fail(self, error: ApiError) -> None:
        """The error as an event, and the end."""
        await self._write(b"data: " + error.body + b"\n\n", more=False)

    async def _chunk(self, delta: Delta, finish: Finish | None = None, result: TailraceResult | None = None) -> None:
        await self._event(self._made((ChunkChoice(delta=delta, finish_reason=finish),), result=result))

    def _made(
        self, choices: tuple[ChunkChoice, ...], *, usage: Usage | None = None, result: TailraceResult | None = None
    ) -> ChatCompletionChunk:
        return ChatCompletionChunk(
            id=self._id, created=self._created, model=self._model, choices=choices, usage=usage, tailrace=result
        )

    async def _event(self, chunk: ChatCompletionChunk) -> None:
        await self._write(b"data: " + chunk_json(chunk, with_usage=self._with_usage) + b"\n\n")

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
