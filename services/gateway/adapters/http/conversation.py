"""One prompt's HTTP exchange: ask, wait, and answer whole or as a stream; the caller may leave at any moment.

An ASGI response, because only that sees both the caller leaving and each byte going out, and so can say with which
status an early refusal ends.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from libs.bus import Envelope
from libs.clock import Clock
from libs.telemetry import Metrics
from schemas.responses import ResponseReady
from services.gateway.adapters.http.asked import Asked
from services.gateway.adapters.http.completion import completion_of, raise_refusal
from services.gateway.adapters.http.errors import ApiError, unavailable
from services.gateway.adapters.http.sse import EventStream
from services.gateway.domain import COMPLETION_PREFIX, CallerGone, Desk, DeskClosed, DeskFull, SameIdInUse, Ticket
from services.gateway.handlers import NotReady, asking
from services.gateway.ports import Log, LogUnavailable


@dataclass(frozen=True, slots=True)
class Patience:
    """How long callers are kept waiting. `whole`: for the outcome."""

    whole: timedelta
    stream_hold: timedelta
    keep_alive: timedelta


class Conversation(Response):
    """The answer to one `POST /v1/chat/completions`."""

    def __init__(
        self, asked: Asked, *, desk: Desk, log: Log, metrics: Metrics, clock: Clock, patience: Patience
    ) -> None:
        super().__init__()
        self._asked = asked
        self._desk = desk
        self._log = log
        self._metrics = metrics
        self._patience = patience
        self._id = f"{COMPLETION_PREFIX}{asked.prompt.prompt_id}"
        self._created = int(clock().timestamp())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        notes = scope["state"]["notes"]
        notes["prompt_id"] = self._asked.prompt.prompt_id
        until = asyncio.get_running_loop().time() + self._patience.whole.total_seconds()
        try:
            async with self._waiting(scope["state"]["envelope"], receive) as ticket:
                if self._asked.prompt.stream:
                    notes["streamed"] = True
                    await self._stream(ticket, until, scope, receive, send)
                else:
                    await self._whole(await _outcome(ticket, until), scope, receive, send)
        except CallerGone:
            notes["left"] = True
        except ApiError as error:
            notes["code"] = error.code
            await error.response()(scope, receive, send)

    @asynccontextmanager
    async def _waiting(self, envelope: Envelope, receive: Receive) -> AsyncIterator[Ticket]:
        with _as_api_errors():
            asking_ = asking(
                self._asked.prompt, envelope, desk=self._desk, log=self._log, repeatable=self._asked.repeatable
            )
            async with asking_ as ticket:
                watching = asyncio.create_task(_tell_when_gone(receive, ticket))
                try:
                    yield ticket
                finally:
                    watching.cancel()

    async def _whole(self, outcome: ResponseReady, scope: Scope, receive: Receive, send: Send) -> None:
        self._raise_refusal(outcome)
        completion = completion_of(outcome, self._id, self._created, self._asked.model)
        await Response(completion.model_dump_json(), media_type="application/json")(scope, receive, send)

    def _raise_refusal(self, outcome: ResponseReady) -> None:
        raise_refusal(outcome, repeatable=self._asked.repeatable)

    async def _stream(self, ticket: Ticket, until: float, scope: Scope, receive: Receive, send: Send) -> None:
        first = await self._first(ticket, until)
        if isinstance(first, ResponseReady):
            self._raise_refusal(first)
        events = EventStream(send, self._id, self._created, self._asked.model, with_usage=self._asked.wants_usage)
        self._metrics.level("tailrace.http.streams", 1)
        try:
            await events.begin()
            await self._follow(ticket, first, until, events)
        finally:
            self._metrics.level("tailrace.http.streams", -1)

    async def _first(self, ticket: Ticket, until: float) -> str | ResponseReady | None:
        """What comes first, if it comes soon: a quick refusal then has a status of its own."""
        try:
            return await _next(ticket, until, self._patience.stream_hold.total_seconds())
        except TimeoutError:
            return None

    async def _follow(
        self, ticket: Ticket, item: str | ResponseReady | None, until: float, events: EventStream
    ) -> None:
        try:
            with _as_api_errors():
                while not isinstance(item, ResponseReady):
                    if item is not None:
                        await events.text(item)
                    item = await self._next_or_silence(ticket, until, events)
                self._raise_refusal(item)
                await events.finish(item)
        except ApiError as error:
            await events.fail(error)

    async def _next_or_silence(self, ticket: Ticket, until: float, events: EventStream) -> str | ResponseReady:
        while True:
            try:
                return await _next(ticket, until, self._patience.keep_alive.total_seconds())
            except TimeoutError:
                await events.keep_alive()


async def _outcome(ticket: Ticket, until: float) -> ResponseReady:
    while True:
        with contextlib.suppress(TimeoutError):
            item = await _next(ticket, until, 3600.0)
            if isinstance(item, ResponseReady):
                return item


async def _next(ticket: Ticket, until: float, patience: float) -> str | ResponseReady:
    """Raises TimeoutError after `patience` seconds, ApiError at `until`."""
    left = until - asyncio.get_running_loop().time()
    try:
        return await ticket.next(min(left, patience))
    except TimeoutError:
        if left <= patience:
            raise ApiError(504, "deadline_exceeded", "the prompt had no outcome in time") from None
        raise


async def _tell_when_gone(receive: Receive, ticket: Ticket) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    ticket.leave()


@contextlib.contextmanager
def _as_api_errors() -> Iterator[None]:
    try:
        yield
    except NotReady:
        raise unavailable("not_ready", "the gateway is starting: replies are not being read yet", 1) from None
    except LogUnavailable:
        raise unavailable("log_unavailable", "the log did not take the prompt in time", 2) from None
    except DeskClosed:
        raise unavailable(
            "shutting_down", "the gateway is stopping; another one, or this one later, can answer", 1
        ) from None
    except DeskFull:
        raise ApiError(429, "rate_limit_exceeded", "as many callers wait here as may", None, 1) from None
    except SameIdInUse:
        message = "the id belongs to a prompt under way that asks something else; a new prompt needs a new id"
        raise ApiError(409, "idempotency_conflict", message) from None
