"""What the gateway needs from outside: the log, and who the callers are."""

from typing import Protocol

from libs.bus import Envelope
from schemas.base import Event
from services.gateway.domain import Caller


class LogUnavailable(Exception):  # noqa: N818
    """The log did not acknowledge the record in time."""


class Log(Protocol):
    """The public input topics, and this instance's partition of `reply` behind them."""

    @property
    def ready(self) -> bool:
        """Whether replies are being read, so that no outcome can be missed."""

    async def publish(self, event: Event, envelope: Envelope) -> None:
        """Returns once the log has the record. Raises LogUnavailable."""

    def publish_soon(self, event: Event, envelope: Envelope) -> None:
        """Hands a record over without waiting; what cannot be written is logged."""


class Keys(Protocol):
    """The API keys."""

    def find(self, token: str) -> Caller | None:
        """Whose key this is."""
