"""Event in, event out: a cleared prompt is answered, a cancelled one is let go, a change of what serves is heard."""

import hashlib
from dataclasses import dataclass
from typing import Any

from libs.bus import Context, Record, Rejected
from libs.clock import Clock
from libs.json_schema import UnusableSchema
from libs.language_models.generation import Delta, Finished, GenerationRequest
from libs.telemetry import Metrics
from schemas.base import Message, ModelUsed, Reason, ReasonCode, Usage
from schemas.completions import CompletionChunk, CompletionGenerated
from schemas.prompts import Cleared, PromptCancelled, PromptCleared, PromptFailed
from services.inference.domain.cache import Answer, ExactCache, cache_key
from services.inference.domain.json_output import corrected, instructed, problem, wanted_schema
from services.inference.domain.serving import Change
from services.inference.domain.underway import Cancelled, DeadlineExceeded, Underway
from services.inference.domain.windows import SentenceWindows
from services.inference.genai import Operation
from services.inference.memory import Finished as FinishedPrompts
from services.inference.ports import Engine, Serving


@dataclass(frozen=True)
class Defaults:
    """What applies where a prompt is silent."""

    max_tokens: int
    temperature: float
    repetition_penalty: float
    json_attempts: int


class _InvalidOutput(Exception):  # noqa: N818
    """No attempt satisfied the schema."""


async def generate(
    event: PromptCleared,
    *,
    context: Context,
    engine: Engine,
    serving: Serving,
    cache: ExactCache,
    finished: FinishedPrompts,
    underway: Underway,
    defaults: Defaults,
    clock: Clock,
    metrics: Metrics,
) -> CompletionGenerated | PromptFailed | None:
    """The prompt's answer, from the exact cache or the engine. None: it was answered before a crash."""
    if finished.find(event.identity):
        return None
    model = _model(event, engine)
    # Adapters belong to the default model.
    adapter = serving.begin(event) if model == engine.models[0] else None
    used = ModelUsed(name=model, adapter=adapter, dataset=serving.trained_on(adapter))
    request = _request(event, defaults, model, adapter, context)
    key = _cache_key(event, request, defaults)
    seconds = None if event.deadline is None else (event.deadline - clock()).total_seconds()
    try:
        async with underway.until_told(event.identity, seconds):
            cached = cache.find(key)
            metrics.count("tailrace.cache.lookups", 1, {"hit": cached is not None})
            answer = cached or await _answer(event, request, context, engine, defaults, metrics)
    except Cancelled:
        return _failed(event, used, "cancelled", "the prompt was cancelled")
    except DeadlineExceeded:
        return _failed(event, used, "deadline_exceeded", '"deadline" passed before the answer was complete')
    except _InvalidOutput as error:
        return _failed(event, used, "invalid_output", str(error))
    serving.end(event)
    cache.keep(key, answer)
    return _completion(event, answer, used, cached=cached is not None)


def cancel(event: PromptCancelled, *, underway: Underway) -> None:
    """Ends the generation if it runs or is still to come; the outcome is `failed` with the code `cancelled`."""
    underway.cancel(event.identity)


async def follow(event: Change, _: Record, *, serving: Serving) -> None:
    """What serves has changed: prompts that begin from now on are answered accordingly."""
    await serving.hear(event)


def _model(event: PromptCleared, engine: Engine) -> str:
    if event.model is None:
        return engine.models[0]
    if event.model not in engine.models:
        known = ", ".join(engine.models)
        raise Rejected(f'"model" names no model that is served here; choose one of: {known}', code="unknown_model")
    return event.model


def _request(
    event: PromptCleared, defaults: Defaults, model: str, adapter: str | None, context: Context
) -> GenerationRequest:
    parameters = event.parameters
    try:
        schema = wanted_schema(parameters)
    except UnusableSchema as error:
        raise Rejected(f'"parameters.response_format": the JSON Schema cannot be used: {error}') from error
    temperature = defaults.temperature if parameters.temperature is None else parameters.temperature
    return GenerationRequest(
        messages=event.messages if schema is None else instructed(event.messages, schema),
        max_tokens=parameters.max_completion_tokens or defaults.max_tokens,
        temperature=temperature,
        top_p=1.0 if parameters.top_p is None else parameters.top_p,
        seed=_seed(event) if parameters.seed is None else parameters.seed,
        repetition_penalty=defaults.repetition_penalty,
        stop=parameters.stop or (),
        json_schema=schema,
        lane=context.lane,
        model=model,
        adapter=adapter,
    )


def _cache_key(event: PromptCleared, request: GenerationRequest, defaults: Defaults) -> str | None:
    """None for a shadow: it asks what the engine says now, and its answers are for nobody else."""
    if event.shadow is not None:
        return None
    limit = request.max_tokens or defaults.max_tokens
    return cache_key(
        event,
        model=request.model or "",
        adapter=request.adapter,
        temperature=request.temperature,
        max_tokens=limit,
    )


def _seed(event: PromptCleared) -> int:
    """Drawn from the prompt's identity: done again after a crash, or as a shadow, it writes the same text."""
    identity = event.identity if event.shadow is None else (event.tenant, event.shadow.prompt_id)
    return int.from_bytes(hashlib.sha256(repr(identity).encode()).digest()[:4])


async def _answer(
    event: PromptCleared,
    request: GenerationRequest,
    context: Context,
    engine: Engine,
    defaults: Defaults,
    metrics: Metrics,
) -> Answer:
    operation = Operation(metrics, request.model or "", event.conversation_id)
    operation.request(request)
    if request.json_schema is None:
        return await _stream(event if event.stream else None, request, context, engine, operation)
    return await _json(request, context, engine, operation, defaults.json_attempts)


async def _json(
    request: GenerationRequest, context: Context, engine: Engine, operation: Operation, attempts: int
) -> Answer:
    """Not streamed: what may be thrown away must not be shown."""
    assert request.json_schema is not None
    asked: tuple[Message, ...] = tuple(request.messages)
    for attempt in range(attempts):
        again: dict[str, Any] = {"messages": asked, "seed": (request.seed or 0) + attempt}
        answer = await _stream(None, _with(request, again), context, engine, operation)
        if (wrong := problem(answer.text, request.json_schema)) is None:
            return answer
        if answer.finish_reason == "length":
            wrong = f"{wrong}, cut off at max_completion_tokens"
        asked = corrected(tuple(request.messages), answer.text, wrong)
    # Not the validator's words: they may quote what the model wrote.
    raise _InvalidOutput(
        f"{attempts} attempts gave no JSON of the form asked for; raise max_completion_tokens or simplify the schema"
    )


def _with(request: GenerationRequest, changes: dict[str, Any]) -> GenerationRequest:
    return GenerationRequest(**{**vars(request), **changes})


async def _stream(
    event: PromptCleared | None, request: GenerationRequest, context: Context, engine: Engine, operation: Operation
) -> Answer:
    """Runs the engine. With an event, sentence windows are emitted on the way; its last words come with the answer."""
    text, windows, index = "", SentenceWindows(), 0
    stream = engine.generate(request)
    try:
        async for piece in stream:
            if isinstance(piece, Finished):
                operation.finished(piece)
                return Answer(text, piece.finish_reason, piece.prompt_tokens, piece.completion_tokens)
            operation.text()
            for window in windows.push(piece.text) if event is not None else ():
                assert event is not None
                shown = text_before(text, piece, windows.rest, window)
                await context.emit(_chunk(event, index, window, shown))
                index += 1
            text += piece.text
    finally:
        await stream.aclose()
    raise RuntimeError("the engine's stream ended without its end")


def text_before(text: str, piece: Delta, rest: str, window: str) -> str:
    """What stood before a window just cut: all text but the window and the rest after it."""
    whole = text + piece.text
    return whole[: len(whole) - len(rest) - len(window)]


def _chunk(event: PromptCleared, index: int, text: str, preceding: str) -> CompletionChunk:
    return CompletionChunk(
        **event.carried(),
        index=index,
        text=text,
        preceding=preceding[-256:],
        sealed=event.sealed,
        seal_key_id=event.seal_key_id,
        policy=event.policy,
        masked=event.masked,
    )


def _completion(event: PromptCleared, answer: Answer, model: ModelUsed, *, cached: bool) -> CompletionGenerated:
    return CompletionGenerated(
        **event.carried(),
        **{name: getattr(event, name) for name in Cleared.model_fields},
        text=answer.text,
        finish_reason=answer.finish_reason,
        usage=Usage(prompt_tokens=answer.prompt_tokens, completion_tokens=answer.completion_tokens),
        model=model,
        parameters=event.parameters,
        cached=cached,
    )


def _failed(event: PromptCleared, model: ModelUsed, code: ReasonCode, message: str) -> PromptFailed:
    reason = Reason(code=code, message=message, stage="inference")
    return PromptFailed(**event.carried(), reason=reason, model=model)
