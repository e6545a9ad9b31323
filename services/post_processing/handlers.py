"""Decisions in, outcomes out: each prompt ends in exactly one response-ready, with a copy to whoever waits for it."""

from datetime import datetime

from libs.bus import Context, Output, To
from libs.clock import Clock
from schemas.completions import CompletionChunkCleared, CompletionCleared
from schemas.prompts import PromptFailed, PromptRefused, PromptRepeated
from schemas.responses import Reply, ResponseReady, ResponseShadow
from services.post_processing.domain.outcomes import answered, conflicting, failed, refused, too_old
from services.post_processing.domain.restoration import restore
from services.post_processing.domain.text import clean_window
from services.post_processing.memory import Cause, Finished, FinishedPrompts
from services.post_processing.ports import Seals

Decision = CompletionCleared | PromptRefused | PromptFailed


def finish(event: Decision, *, context: Context, finished: FinishedPrompts, seals: Seals, clock: Clock) -> list[Output]:
    """The outcome and its copies. Nothing, if another decision about this prompt came first."""
    cause: Cause = (context.record.topic, context.record.partition, context.record.offset)
    known = finished.find(event.identity)
    if known is not None and known.cause != cause:
        return []
    if known is not None and (before := _outcome_of(known)) is not None:
        # A second attempt at the same input: the same outcome, and the log may hold it already.
        return [*([] if known.logged else [_published(event, before)]), *_copies(event, before, finished)]
    outcome = _outcome(event, seals, clock())
    finished.decided(context.record.partition, cause, outcome)
    return [_published(event, outcome), *_copies(event, outcome, finished)]


def repeat(event: PromptRepeated, *, context: Context, finished: FinishedPrompts, clock: Clock) -> To | None:
    """A copy of the one outcome for a caller who asked again; he waits if there is none yet."""
    if event.reply_to is None:
        return None
    if event.conflict:
        return _copy(conflicting(event, clock()), event.reply_to)
    known = finished.find(event.identity)
    if known is None:
        finished.wait(context.record.partition, event.identity, event.reply_to)
        return None
    return _copy(_outcome_of(known) or too_old(event, clock()), event.reply_to)


def pass_on(event: CompletionChunkCleared, *, finished: FinishedPrompts, seals: Seals) -> To | None:
    """A screened window for the caller who waits, with his own values in it.

    A first window of nothing but white space is dropped: the final text begins without it, and the gap in the
    indexes makes the reader wait for the outcome.
    """
    if event.reply_to is None or finished.find(event.identity) is not None:
        return None
    text = restore(clean_window(event.text, first=event.index == 0), seals.values(event.sealed, event.seal_key_id))
    if event.index == 0 and not text:
        return None
    reply = Reply(kind="text", prompt_id=event.prompt_id, tenant=event.tenant, index=event.index, text=text)
    return To(event.reply_to, reply)


def _outcome(event: Decision, seals: Seals, now: datetime) -> ResponseReady:
    match event:
        case CompletionCleared():
            return answered(event, seals.values(event.sealed, event.seal_key_id), now)
        case PromptRefused():
            return refused(event, now)
        case PromptFailed():
            return failed(event, now)


def _outcome_of(known: Finished) -> ResponseReady | None:
    return ResponseReady.model_validate_json(known.body) if known.body is not None else None


def _published(event: Decision, outcome: ResponseReady) -> ResponseReady | ResponseShadow:
    """Where the outcome goes is a matter of its type: no upstream waits for that of a shadow."""
    return outcome if event.shadow is None else ResponseShadow(**dict(outcome), shadow=event.shadow)


def _copies(event: Decision, outcome: ResponseReady, finished: FinishedPrompts) -> list[To]:
    own = () if event.reply_to is None else (event.reply_to,)
    return [_copy(outcome, place) for place in dict.fromkeys((*own, *finished.waiting(event.identity)))]


def _copy(outcome: ResponseReady, reply_to: int) -> To:
    reply = Reply(kind="outcome", prompt_id=outcome.prompt_id, tenant=outcome.tenant, outcome=outcome)
    return To(reply_to, reply)
