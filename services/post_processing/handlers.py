"""Event in, event out: whatever ends a prompt's way becomes its one outcome, and a copy for whoever waits.

A prompt that has its outcome keeps it: a stage that decides again after a crash, and differently, changes nothing.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from libs.bus import Context, Outputs, Retryable, To
from libs.clock import Clock
from libs.sealing import UnopenableBoxError
from libs.telemetry import Metrics, get_logger
from schemas.base import PathEvent, Reason
from schemas.completions import CompletionChunkCleared, CompletionCleared
from schemas.prompts import PromptFailed, PromptRefused, PromptRepeated
from schemas.responses import Reply, ResponseReady
from schemas.topics import REPLY_PARTITIONS
from services.post_processing.domain import outcomes
from services.post_processing.domain.restoring import restore
from services.post_processing.domain.structured import InvalidOutputError
from services.post_processing.domain.text import opening
from services.post_processing.memory import Finished
from services.post_processing.ports import Opener, OutcomeLog


async def finish_completion(
    event: CompletionCleared,
    *,
    context: Context,
    finished: Finished,
    log: OutcomeLog,
    opener: Opener,
    clock: Clock,
    metrics: Metrics,
) -> Outputs:
    """An answer; or the outcome `failed` where it is not the JSON that was asked for."""
    if finished.find(event.identity) is not None:
        return await _first_again(event, context, finished, log, metrics)
    try:
        outcome = outcomes.answered(event, _mapping(event.sealed, event.seal_key_id, opener, metrics), clock())
    except InvalidOutputError as error:
        outcome = outcomes.invalid_output(event, error, clock())
    return _ending(event, outcome, context, finished, metrics)


async def finish_refused(
    event: PromptRefused, *, context: Context, finished: Finished, log: OutcomeLog, clock: Clock, metrics: Metrics
) -> Outputs:
    """The outcome `refused`, with the reason."""
    if finished.find(event.identity) is not None:
        return await _first_again(event, context, finished, log, metrics)
    outcome = outcomes.unanswered(event, "refused", event.reason, clock(), event.masked)
    return _ending(event, outcome, context, finished, metrics)


async def finish_failed(
    event: PromptFailed, *, context: Context, finished: Finished, log: OutcomeLog, clock: Clock, metrics: Metrics
) -> Outputs:
    """The outcome `failed`, with the reason."""
    if finished.find(event.identity) is not None:
        return await _first_again(event, context, finished, log, metrics)
    outcome = outcomes.unanswered(event, "failed", event.reason, clock())
    return _ending(event, outcome, context, finished, metrics)


def _ending(
    event: PathEvent, outcome: ResponseReady, context: Context, finished: Finished, metrics: Metrics
) -> Outputs:
    # Claimed in the same turn of the loop as it was looked up: a failure and a completion of one prompt come by
    # different topics, side by side.
    finished.remember(context.record.partition, event.identity, int(outcome.created_at.timestamp() * 1000))
    code = outcome.reason.code if outcome.reason else "none"
    metrics.count("tailrace.outcomes", 1, {"status": outcome.status, "code": code})
    return [outcome, *_copy(event.reply_to, outcome)]


def _copy(reply_to: int | None, outcome: ResponseReady) -> list[To]:
    if reply_to is None or reply_to >= REPLY_PARTITIONS:
        # A partition that does not exist was never anyone's; the outcome itself is on response-ready.
        return []
    reply = Reply(kind="outcome", prompt_id=outcome.prompt_id, tenant=outcome.tenant, outcome=outcome)
    return [To(reply_to, reply)]


async def _first_again(
    event: PathEvent, context: Context, finished: Finished, log: OutcomeLog, metrics: Metrics
) -> Outputs:
    """The outcome stands. Its copy may have been lost in the same crash, so it is sent once more."""
    metrics.count("tailrace.outcomes", 1, {"status": "known", "code": "none"})
    if event.reply_to is None:
        return None
    first = await log.find(context.record.partition, event.identity, finished.find(event.identity) or 0)
    return _copy(event.reply_to, first) if first is not None else None


async def answer_repeated(
    event: PromptRepeated, *, context: Context, finished: Finished, log: OutcomeLog, clock: Clock, patience: timedelta
) -> Outputs:
    """A copy of the first outcome for whoever asked again, as soon as there is one; of a conflict, the error."""
    if event.conflict:
        message = 'this "prompt_id" was used before with other content; a new prompt needs a new id'
        reason = Reason(code="idempotency_conflict", message=message, stage="ingestion")
        return _copy(event.reply_to, outcomes.unanswered(event, "refused", reason, clock()))
    with finished.watched(event.identity) as done:
        if finished.find(event.identity) is None:
            await _until(done, patience)
    first = await log.find(context.record.partition, event.identity, finished.find(event.identity) or 0)
    if first is None:
        raise Retryable("the outcome is known to be written, but not yet to be read")
    return _copy(event.reply_to, first)


async def _until(done: asyncio.Event, patience: timedelta) -> None:
    try:
        async with asyncio.timeout(patience.total_seconds()):
            await done.wait()
    except TimeoutError:
        raise Retryable("the first prompt of this id has no outcome yet", code="deadline_exceeded") from None


def forward_window(event: CompletionChunkCleared, *, opener: Opener, metrics: Metrics) -> Outputs:
    """A screened window goes to the caller it was written for, with his own data back in it."""
    if event.reply_to is None or event.reply_to >= REPLY_PARTITIONS:
        return None
    text = restore(event.text, _mapping(event.sealed, event.seal_key_id, opener, metrics))
    text = opening(text) if event.index == 0 else text
    return To(
        event.reply_to, Reply(kind="text", prompt_id=event.prompt_id, tenant=event.tenant, index=event.index, text=text)
    )


def _mapping(sealed: str | None, key_id: str | None, opener: Opener, metrics: Metrics) -> Mapping[str, str]:
    """What stands behind the placeholders; nothing if no key we hold opens it: the answer keeps its placeholders."""
    if sealed is None:
        return {}
    try:
        return opener.open(sealed, key_id)
    except UnopenableBoxError as error:
        metrics.count("tailrace.sealed_boxes_unopened")
        get_logger("sealing").error("sealed mapping not opened", reason=str(error))
        return {}
