"""The OpenAPI document: FastAPI's own, with the request bodies that we read ourselves, and errors in our shape."""

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.gateway.adapters.http.errors import ErrorBody
from services.gateway.adapters.http.requests import BatchRequest, ChatRequest, DocumentRequest, FeedbackRequest
from services.gateway.adapters.http.responses import ChatCompletionChunk

_REF = "#/components/schemas/{model}"
_EXTRA: tuple[type[BaseModel], ...] = (
    BatchRequest,
    ChatRequest,
    DocumentRequest,
    FeedbackRequest,
    ErrorBody,
    ChatCompletionChunk,
)
_ERRORS = {
    400: "The request is wrong, or safety turned the prompt down (`content_filter`).",
    401: "There is no API key, or it is not known.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "The id was used before with other content, or the batch has ended.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "No source was good enough, and grounding is required.",
    429: "Too many callers wait here.",
    499: "The prompt was cancelled.",
    500: "The prompt failed, or the gateway did.",
    503: "The gateway is starting or stopping, or the log or the engine is away.",
    504: "There was no outcome in time.",
    507: "The gateway cannot keep files now: its disk is full.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of an operation."""
    return {status: {"description": _ERRORS[status], "model": ErrorBody} for status in statuses}


def body(model: type[BaseModel]) -> dict[str, Any]:
    """The request body of an operation that reads it itself."""
    schema = {"$ref": _REF.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def events() -> dict[str, Any]:
    """A response that may be a stream as well."""
    schema = {
        "type": "string",
        "description": "Server-sent events: `data: ` with a ChatCompletionChunk or an ErrorBody, at last `[DONE]`",
    }
    return {"description": "The completion, or its stream", "content": {"text/event-stream": {"schema": schema}}}


def complete(app: FastAPI) -> None:
    """Adds to the application's document what FastAPI cannot know."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        document = make()
        _, definitions = models_json_schema([(model, "validation") for model in _EXTRA], ref_template=_REF)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name, schema in definitions.get("$defs", {}).items():
            schemas.setdefault(name, schema)
        _drop_foreign_errors(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _drop_foreign_errors(document: dict[str, Any]) -> None:
    """FastAPI names its own 422 wherever there is a parameter; ours are 400, in our shape."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
