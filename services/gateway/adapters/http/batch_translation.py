"""A batch's line as a prompt, and its outcome as a response: what the same request over HTTP would have led to."""

import json
from datetime import datetime

from pydantic import ValidationError

from schemas.prompts import PromptSubmitted
from schemas.responses import ResponseReady
from services.gateway.adapters.http.asked import prompt_of
from services.gateway.adapters.http.body import invalid
from services.gateway.adapters.http.completion import completion_of, raise_refusal
from services.gateway.adapters.http.errors import ApiError
from services.gateway.adapters.http.requests import ChatRequest, TailraceOptions
from services.gateway.domain import COMPLETION_PREFIX, Caller
from services.gateway.domain.batch_lines import Request, Result
from services.gateway.domain.jobs import Job, prompt_id


class ChatTranslation:
    """For the endpoint `/v1/chat/completions`."""

    def __init__(self, models: tuple[str, ...]) -> None:
        self._models = models

    def prompt(self, request: Request, job: Job) -> PromptSubmitted | Result:
        try:
            asked = _checked(request.body)
            named = _named(asked, prompt_id(job.id, request.custom_id))
            return self._prompt(named, job.tenant, job.expires_at)
        except ApiError as error:
            error.message = f"line {request.number}: {error.message}"
            return _refused(error)

    def _prompt(self, asked: ChatRequest, tenant: str, deadline: datetime) -> PromptSubmitted:
        caller = Caller(tenant)
        return prompt_of(asked, caller, None, models=self._models, deadline=deadline, new_id=str).prompt

    def answer(self, outcome: ResponseReady, request: Request) -> Result:
        try:
            raise_refusal(outcome, repeatable=True)
        except ApiError as error:
            return _refused(error)
        created = int(outcome.created_at.timestamp())
        completion = completion_of(outcome, f"{COMPLETION_PREFIX}{outcome.prompt_id}", created, self._models[0])
        usage = completion.usage
        body = completion.model_dump(mode="json")
        return Result("output", 200, body, usage.prompt_tokens, usage.completion_tokens)


def _checked(body: bytes) -> ChatRequest:
    """Raises ApiError."""
    try:
        asked = ChatRequest.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise invalid(error) from None
    if asked.stream:
        raise ApiError(400, "unsupported_parameter", '"stream" is not offered in a batch: leave it out', "stream")
    if asked.tailrace is not None and asked.tailrace.prompt_id is not None:
        message = '"tailrace.prompt_id" is not offered in a batch, "custom_id" takes its place: leave it out'
        raise ApiError(400, "unsupported_parameter", message, "tailrace.prompt_id")
    return asked


def _named(asked: ChatRequest, name: str) -> ChatRequest:
    options = (asked.tailrace or TailraceOptions()).model_copy(update={"prompt_id": name})
    return asked.model_copy(update={"tailrace": options})


def _refused(error: ApiError) -> Result:
    return Result("errors", error.status, json.loads(error.body))
