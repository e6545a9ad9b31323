"""OpenAI's request as a prompt for the bus: ids, deadline, and what the caller's key and headers add."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from libs.bus import MAX_EVENT_BYTES, encode
from schemas.base import Event, Message, Parameters
from schemas.documents import DocumentSubmitted
from schemas.prompts import Grounding, PromptSubmitted
from services.gateway.adapters.http.body import invalid
from services.gateway.adapters.http.errors import ApiError
from services.gateway.adapters.http.requests import ChatRequest, DocumentRequest, TailraceOptions
from services.gateway.domain import Caller, derived_id

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as a caller asked it."""

    prompt: PromptSubmitted
    model: str
    """As the caller named it."""
    repeatable: bool
    """The caller chose the prompt's id, so he may ask again and get the same outcome."""
    wants_usage: bool


def prompt_of(
    request: ChatRequest,
    caller: Caller,
    idempotency_key: str | None,
    *,
    models: tuple[str, ...],
    deadline: datetime,
    new_id: Callable[[], str],
) -> Asked:
    """Raises ApiError: an unknown model, or what the bus would refuse."""
    if request.model not in models:
        known = ", ".join(models)
        raise ApiError(404, "model_not_found", f'there is no model "{request.model}"; there are: {known}', "model")
    options = request.tailrace or TailraceOptions()
    chosen = _chosen_id(options, caller, idempotency_key)
    try:
        prompt = PromptSubmitted(
            prompt_id=chosen or f"prompt-{new_id()}",
            tenant=caller.tenant,
            conversation_id=options.conversation_id,
            messages=tuple(Message(role=m.role, content=m.text) for m in request.messages),
            parameters=_parameters(request),
            grounding=options.grounding or Grounding(),
            template=options.template,
            # The first is what inference takes when none is named: so both need not agree on its name.
            model=None if request.model == models[0] else request.model,
            stream=bool(request.stream),
            deadline=deadline,
            metadata=request.metadata or {},
        )
    except ValidationError as error:
        raise invalid(error) from None
    check_size(prompt)
    return Asked(prompt, request.model, chosen is not None, request.wants_usage)


def _parameters(request: ChatRequest) -> Parameters:
    return Parameters(
        max_completion_tokens=request.limit,
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
        stop=_stops(request.stop),
        response_format=request.response_format,
    )


def _stops(stop: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    return (stop,) if isinstance(stop, str) else stop or None


def _chosen_id(options: TailraceOptions, caller: Caller, idempotency_key: str | None) -> str | None:
    if idempotency_key is None:
        return options.prompt_id
    if options.prompt_id is not None:
        message = 'both "tailrace.prompt_id" and the header "Idempotency-Key" name the prompt: send one of the two'
        raise ApiError(400, "invalid_request", message, "tailrace.prompt_id")
    return derived_id("prompt", caller.tenant, checked_key(idempotency_key))


def checked_key(idempotency_key: str) -> str:
    """The key as it is. Raises ApiError where it is none."""
    if not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        message = 'the header "Idempotency-Key" must be 1 to 255 printable ASCII characters'
        raise ApiError(400, "invalid_request", message, "Idempotency-Key")
    return idempotency_key


def document_of(
    request: DocumentRequest, caller: Caller, idempotency_key: str | None, *, new_id: Callable[[], str]
) -> DocumentSubmitted:
    """Raises ApiError for what the bus would refuse."""
    made = derived_id("doc", caller.tenant, checked_key(idempotency_key)) if idempotency_key else f"doc-{new_id()}"
    given = request.model_dump(exclude_none=True, exclude={"document_id"})
    try:
        document = DocumentSubmitted(document_id=request.document_id or made, tenant=caller.tenant, **given)
    except ValidationError as error:
        raise invalid(error) from None
    check_size(document)
    return document


def check_size(event: Event) -> None:
    """Raises ApiError where the record would be larger than services read."""
    if (size := len(encode(event))) > MAX_EVENT_BYTES:
        message = f"the record would have {size} bytes, the limit is {MAX_EVENT_BYTES}; send less, or split it"
        raise ApiError(413, "body_too_large", message)
