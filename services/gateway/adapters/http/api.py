"""The HTTP API: the table of operations, who may call, and how every error takes OpenAI's shape."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from libs.clock import Clock
from libs.telemetry import Metrics
from schemas.documents import DocumentSubmitted
from schemas.prompts import CollectionName
from services.gateway.adapters.http.asked import document_of, prompt_of
from services.gateway.adapters.http.batches_api import add_batches
from services.gateway.adapters.http.batching import Batching
from services.gateway.adapters.http.body import BodyLimits, param_of, read_json
from services.gateway.adapters.http.conversation import Conversation, Patience
from services.gateway.adapters.http.document import body, complete, errors, events
from services.gateway.adapters.http.errors import ApiError, unavailable
from services.gateway.adapters.http.feedback_api import Feedback, add_feedback
from services.gateway.adapters.http.files_api import add_files
from services.gateway.adapters.http.requests import ChatRequest, DocumentRequest
from services.gateway.adapters.http.responses import ChatCompletion, DocumentReceipt, ModelCard, ModelList
from services.gateway.adapters.http.schedules_api import Schedules, add_schedules
from services.gateway.domain import Caller, Desk
from services.gateway.handlers import submit
from services.gateway.ports import Keys, Log, LogUnavailable

IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255)]
DocumentId = Annotated[str, Path(min_length=1, max_length=512)]


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the operations work with."""

    desk: Desk
    log: Log
    keys: Keys
    metrics: Metrics
    clock: Clock
    new_id: Callable[[], str]
    models: tuple[str, ...]
    deadline: timedelta
    patience: Patience
    limits: BodyLimits
    batching: Batching
    schedules: Schedules


def create_http(parts: Dependencies, *, version: str) -> FastAPI:
    """The application, without the edge around it."""
    app = FastAPI(
        title="Tailrace gateway",
        version=version,
        summary="OpenAI-compatible completions in front of Tailrace's bus.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.include_router(_router(parts))
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_parameter)
    app.add_exception_handler(Exception, _on_bug)
    complete(app)
    return app


def _router(parts: Dependencies) -> APIRouter:
    caller_of = _authentication(parts.keys)
    known = Depends(caller_of)
    router = APIRouter(prefix="/v1", dependencies=[known])
    started = int(parts.clock().timestamp())
    cards = {name: ModelCard(id=name, created=started) for name in parts.models}

    @router.post(
        "/chat/completions",
        response_model=ChatCompletion,
        responses={200: events(), **errors(400, 401, 404, 408, 409, 413, 415, 422, 429, 499, 500, 503, 504)},
        openapi_extra=body(ChatRequest),
    )
    async def create_chat_completion(
        request: Request, caller: Annotated[Caller, known], idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Ask a prompt; the answer comes whole, or as server-sent events with `stream: true`."""
        asked = prompt_of(
            await read_json(request, ChatRequest, parts.limits),
            caller,
            idempotency_key,
            models=parts.models,
            deadline=parts.clock() + parts.deadline,
            new_id=parts.new_id,
        )
        return Conversation(
            asked,
            desk=parts.desk,
            log=parts.log,
            metrics=parts.metrics,
            clock=parts.clock,
            patience=parts.patience,
        )

    @router.get("/models", responses=errors(400, 401, 500))
    async def list_models() -> ModelList:
        """The models a caller may name."""
        return ModelList(data=tuple(cards.values()))

    @router.get("/models/{model:path}", responses=errors(400, 401, 404, 500))
    async def retrieve_model(model: str) -> ModelCard:
        """One model."""
        if model not in cards:
            raise ApiError(404, "model_not_found", f'there is no model "{model[:256]}"', "model")
        return cards[model]

    @router.post(
        "/documents",
        status_code=202,
        response_model=DocumentReceipt,
        responses=errors(400, 401, 408, 413, 415, 500, 503),
        openapi_extra=body(DocumentRequest),
    )
    async def create_document(
        request: Request, caller: Annotated[Caller, known], idempotency_key: IdempotencyKey = None
    ) -> DocumentReceipt:
        """Add a document to the knowledge base, or replace it. 202: the log has it, and it is indexed shortly after."""
        asked = await read_json(request, DocumentRequest, parts.limits)
        return await _submit(request, document_of(asked, caller, idempotency_key, new_id=parts.new_id), parts.log)

    @router.delete("/documents/{document_id:path}", status_code=202, responses=errors(400, 401, 404, 500, 503))
    async def delete_document(
        request: Request,
        document_id: DocumentId,
        caller: Annotated[Caller, known],
        collection: Annotated[CollectionName, Query()] = "default",
    ) -> DocumentReceipt:
        """Take a document out of the knowledge base. One that is not there is gone already: 202 as well."""
        gone = DocumentSubmitted(document_id=document_id, tenant=caller.tenant, collection=collection, deleted=True)
        return await _submit(request, gone, parts.log)

    add_files(router, parts.batching, known)
    add_batches(router, parts.batching, known)
    add_schedules(router, parts.schedules, known)
    add_feedback(router, Feedback(parts.log, parts.limits, parts.clock, parts.new_id), known)
    return router


async def _submit(request: Request, document: DocumentSubmitted, log: Log) -> DocumentReceipt:
    request.scope["state"]["notes"]["document_id"] = document.document_id
    try:
        await submit(document, request.scope["state"]["envelope"], log=log)
    except LogUnavailable:
        raise unavailable("log_unavailable", "the log did not take the document in time", 2) from None
    return DocumentReceipt(id=document.document_id, collection=document.collection, deleted=document.deleted)


def _authentication(keys: Keys) -> Callable[..., Any]:
    bearer = HTTPBearer(auto_error=False, description="An API key, `tr-...`; it names the tenant.")

    async def caller_of(
        request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
    ) -> Caller:
        if given is None or not given.credentials:
            message = 'there is no API key: send the header "Authorization: Bearer tr-..."'
            raise ApiError(401, "missing_api_key", message)
        caller = keys.find(given.credentials)
        if caller is None:
            raise ApiError(401, "invalid_api_key", "the API key is not known here")
        request.scope["state"]["notes"].update(tenant=caller.tenant, key_name=caller.key_name)
        return caller

    return caller_of


async def _on_api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    request.scope["state"]["notes"]["code"] = error.code
    return error.response()


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    if error.status_code == 404:
        answer = ApiError(404, "unknown_url", f"there is no {request.method} {path}; see /openapi.json")
    elif error.status_code == 405:
        answer = ApiError(405, "method_not_allowed", f"{path} does not take {request.method}")
    else:
        answer = ApiError(error.status_code, "invalid_request", str(error.detail))
    response = answer.response()
    response.headers.update(error.headers or {})
    return response


async def _on_invalid_parameter(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = param_of(tuple(first["loc"][1:]))
    return ApiError(400, "invalid_request", f'"{param}": {first["msg"]}', param).response()


async def _on_bug(_: Request, __: Exception) -> Response:
    return ApiError(500, "internal_error", "the gateway failed; its log says where, by the request id").response()
