"""A real HTTP server that speaks OpenAI's chat completions, over the echo engine."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response, StreamingResponse

from libs.bus import Rejected
from libs.health import serving
from libs.language_models.generation import Delta, GenerationRequest
from schemas.base import Message
from services.inference.adapters.echo import EchoEngine


def chat_app(engine: EchoEngine, *, break_after: int | None = None, models: tuple[str, ...] = ()) -> FastAPI:
    """`break_after`: the stream breaks off after so many pieces. `models`: all that it has; empty: any name will do."""
    app = FastAPI()
    app.state.bodies = []
    app.state.models = models

    @app.get("/v1/models")
    async def listed() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in app.state.models]}

    @app.post("/v1/chat/completions")
    async def complete(body: dict[str, Any]) -> Response:
        app.state.bodies.append(body)
        if app.state.models and body["model"] not in app.state.models:
            return JSONResponse({"error": {"message": "no such model", "code": "model_not_found"}}, 404)
        pieces = engine.generate(_request(body))
        try:
            first = await anext(pieces)
        except Rejected as error:
            code = "context_length_exceeded" if error.code == "too_long" else "invalid_request"
            return JSONResponse({"error": {"message": str(error), "code": code}}, 400)
        return StreamingResponse(_lines(first, pieces, break_after), media_type="text/event-stream")

    return app


async def _lines(first: Any, rest: Any, break_after: int | None) -> AsyncGenerator[str, None]:
    count = 0
    async for piece in _chain(first, rest):
        if count == break_after:
            return
        count += 1
        if isinstance(piece, Delta):
            yield _line({"choices": [{"delta": {"content": piece.text}, "finish_reason": None}]})
        else:
            yield _line({"choices": [{"delta": {}, "finish_reason": piece.finish_reason}]})
            usage = {"prompt_tokens": piece.prompt_tokens, "completion_tokens": piece.completion_tokens}
            yield _line({"choices": [], "usage": usage})
    yield "data: [DONE]\n\n"


async def _chain(first: Any, rest: Any) -> AsyncIterator[Any]:
    yield first
    async for piece in rest:
        yield piece


def _line(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event)}\n\n"


def _request(body: dict[str, Any]) -> GenerationRequest:
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    return GenerationRequest(
        messages=[Message(**message) for message in body["messages"]],
        max_tokens=body.get("max_completion_tokens"),
        temperature=body["temperature"],
        seed=body.get("seed"),
        stop=tuple(body.get("stop") or ()),
        json_schema=schema,
    )


def failing_app(status: int, code: str) -> FastAPI:
    """Every request fails the same way."""
    return saying_app(JSONResponse({"error": {"message": "the prompt said SECRET", "code": code}}, status))


def saying_app(response: Response) -> FastAPI:
    """Says this to every request."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete() -> Response:
        return response

    return app


@asynccontextmanager
async def endpoint(app: FastAPI) -> AsyncIterator[str]:
    """Serves the app on a free loopback port; yields its base URL."""
    async with serving(app, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}/v1"
