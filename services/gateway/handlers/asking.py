"""A caller asks a prompt and waits, or submits what nobody waits for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.bus import Envelope
from schemas.base import Event
from schemas.prompts import PromptCancelled, PromptSubmitted
from services.gateway.domain import Desk, Ticket, fingerprint
from services.gateway.ports import Log


class NotReady(Exception):  # noqa: N818
    """Replies are not being read yet: an outcome could be missed."""


@asynccontextmanager
async def asking(
    prompt: PromptSubmitted, envelope: Envelope, *, desk: Desk, log: Log, repeatable: bool
) -> AsyncIterator[Ticket]:
    """The prompt is published; the ticket gives its texts and its outcome.

    When everyone who waits has left before the outcome, the prompt is cancelled, unless it is `repeatable`: its id
    is the caller's own, and he may come back for the outcome. Raises NotReady, LogUnavailable, and what `Desk.open`
    raises.
    """
    if not log.ready:
        raise NotReady
    ticket = desk.open((prompt.tenant, prompt.prompt_id), fingerprint(prompt))
    try:
        if ticket.first:
            await _publish(prompt, envelope, desk, log, ticket)
        yield ticket
    finally:
        if ticket.close() and not repeatable:
            log.publish_soon(_cancellation(prompt), envelope)


async def _publish(prompt: PromptSubmitted, envelope: Envelope, desk: Desk, log: Log, ticket: Ticket) -> None:
    try:
        await log.publish(prompt, envelope)
    except Exception as error:
        desk.fail(ticket.identity, error)
        raise


def _cancellation(prompt: PromptSubmitted) -> PromptCancelled:
    return PromptCancelled(prompt_id=prompt.prompt_id, tenant=prompt.tenant, conversation_id=prompt.conversation_id)


async def submit(event: Event, envelope: Envelope, *, log: Log) -> None:
    """Returns once the log has the document, the feedback, the erasure. Raises LogUnavailable."""
    await log.publish(event, envelope)
