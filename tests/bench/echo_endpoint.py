"""An OpenAI-compatible endpoint over the echo engine, for gateways to stand before; `python -m` this.

Answers at once or as a stream of words; says its port on standard output, then serves until it is ended.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import uvloop
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response, StreamingResponse

from libs.health import serving
from libs.language_models.generation import Delta, Finished, GenerationRequest
from schemas.base import Message
from services.inference.adapters.echo import EchoEngine

_FRAME = {"id": "chatcmpl-echo", "created": 0, "model": "echo"}


def echo_app(engine: EchoEngine) -> FastAPI:
    """`POST /v1/chat/completions`."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete(body: dict[str, Any]) -> Response:
        messages = [Message(role=message["role"], content=message["content"]) for message in body["messages"]]
        pieces = engine.generate(GenerationRequest(messages))
        if body.get("stream"):
            return StreamingResponse(_events(pieces), media_type="text/event-stream")
        return JSONResponse(await _whole(pieces))

    return app


async def _whole(pieces: AsyncIterator[Delta | Finished]) -> dict[str, Any]:
    text, usage = "", {}
    async for piece in pieces:
        if isinstance(piece, Delta):
            text += piece.text
        else:
            usage = _usage(piece)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {**_FRAME, "object": "chat.completion", "choices": [choice], "usage": usage}


async def _events(pieces: AsyncIterator[Delta | Finished]) -> AsyncIterator[str]:
    async for piece in pieces:
        if isinstance(piece, Delta):
            yield _event([{"index": 0, "delta": {"role": "assistant", "content": piece.text}, "finish_reason": None}])
        else:
            yield _event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
            yield _event([], usage=_usage(piece))
    yield "data: [DONE]\n\n"


def _event(choices: list[dict[str, Any]], **more: object) -> str:
    return f"data: {json.dumps({**_FRAME, 'object': 'chat.completion.chunk', 'choices': choices, **more})}\n\n"


def _usage(end: Finished) -> dict[str, int]:
    total = end.prompt_tokens + end.completion_tokens
    return {"prompt_tokens": end.prompt_tokens, "completion_tokens": end.completion_tokens, "total_tokens": total}


async def serve() -> None:
    """Until the process is ended."""
    async with EchoEngine() as engine, serving(echo_app(engine), "127.0.0.1", 0) as port:
        print(port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
