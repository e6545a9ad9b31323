"""Who waits for which prompt. Replies are handed to those who wait; text only in order and without gaps.

Several callers may wait for one prompt: the same request again, while the first is under way, joins it. Knows no
log and no HTTP, and keeps nothing once the last caller has left.
"""

import asyncio
from dataclasses import dataclass, field

from schemas.responses import Reply, ResponseReady

Identity = tuple[str, str]
"""Tenant and prompt id."""


class DeskFull(Exception):  # noqa: N818
    """As many callers wait as may."""


class DeskClosed(Exception):  # noqa: N818
    """The gateway is stopping."""


class SameIdInUse(Exception):  # noqa: N818
    """The id belongs to a prompt under way that asks something else."""


class CallerGone(Exception):  # noqa: N818
    """The caller has closed the connection."""


@dataclass(eq=False, slots=True)
class _Exchange:
    """One prompt under way, with everyone who waits for it."""

    fingerprint: str
    texts: list[str] = field(default_factory=list)
    tickets: list["Ticket"] = field(default_factory=list)


class Ticket:
    """One caller's place."""

    def __init__(self, desk: "Desk", identity: Identity, *, first: bool) -> None:
        self._desk = desk
        self._items: asyncio.Queue[str | ResponseReady | Exception] = asyncio.Queue()
        self.identity = identity
        self.first = first
        """Whether the prompt still has to be published; False: it is under way already."""

    def put(self, item: str | ResponseReady | Exception) -> None:
        """Hands over what came for this caller."""
        self._items.put_nowait(item)

    async def next(self, timeout: float) -> str | ResponseReady:
        """The next text, or the outcome. Raises TimeoutError, CallerGone, DeskClosed, or what broke publishing."""
        async with asyncio.timeout(timeout):
            item = await self._items.get()
        if isinstance(item, Exception):
            raise item
        return item

    def leave(self) -> None:
        """The caller has closed the connection: whoever is in `next` hears of it."""
        self.put(CallerGone())

    def close(self) -> bool:
        """Gives the place up. True: the prompt has no outcome yet and nobody waits for it any more."""
        return self._desk.give_up(self)


class Desk:
    """All callers that wait, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._exchanges: dict[Identity, _Exchange] = {}
        self._closed = False

    def open(self, identity: Identity, fingerprint: str) -> Ticket:
        """A place. Raises DeskFull, DeskClosed, SameIdInUse."""
        if self._closed:
            raise DeskClosed
        if self.waiting >= self._limit:
            raise DeskFull
        exchange = self._exchanges.get(identity)
        ticket = Ticket(self, identity, first=exchange is None)
        if exchange is None:
            exchange = self._exchanges[identity] = _Exchange(fingerprint)
        elif exchange.fingerprint != fingerprint:
            raise SameIdInUse
        for text in exchange.texts:
            ticket.put(text)
        exchange.tickets.append(ticket)
        return ticket

    @property
    def waiting(self) -> int:
        """Callers that wait now."""
        return sum(len(exchange.tickets) for exchange in self._exchanges.values())

    def deliver(self, reply: Reply) -> None:
        """Hands a reply to those who wait for it. One that nobody waits for, or out of order, is dropped."""
        exchange = self._exchanges.get(reply.identity)
        if exchange is None:
            return
        if reply.outcome is not None:
            self._tell(reply.identity, reply.outcome)
        elif reply.text is not None and reply.index == len(exchange.texts):
            exchange.texts.append(reply.text)
            for ticket in exchange.tickets:
                ticket.put(reply.text)

    def fail(self, identity: Identity, error: Exception) -> None:
        """The prompt never got under way: everyone who joined it is told."""
        self._tell(identity, error)

    def _tell(self, identity: Identity, last: ResponseReady | Exception) -> None:
        for ticket in self._exchanges.pop(identity, _Exchange("")).tickets:
            ticket.put(last)

    def give_up(self, ticket: Ticket) -> bool:
        """See `Ticket.close`."""
        exchange = self._exchanges.get(ticket.identity)
        if exchange is None or ticket not in exchange.tickets:
            return False
        exchange.tickets.remove(ticket)
        if exchange.tickets:
            return False
        del self._exchanges[ticket.identity]
        return True

    def close(self) -> None:
        """Nobody is let in any more, and those who wait are sent away."""
        self._closed = True
        for exchange in self._exchanges.values():
            for ticket in exchange.tickets:
                ticket.put(DeskClosed())
