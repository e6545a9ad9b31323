"""What delivery reports of itself: a port with a silent default, so that the core needs no telemetry library."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

from libs.bus.envelope import Envelope
from libs.bus.records import Record

Result = Literal["handled", "rejected", "failed", "retried", "abandoned", "skipped"]


class Observer(Protocol):
    """Told of every record's end and of what the stage is doing."""

    def handling(self, route: str, record: Record, envelope: Envelope) -> AbstractContextManager[Envelope]:
        """Around one attempt; yields the envelope whose trace context outputs carry on."""

    def finished(self, topic: str, route: str, result: Result, seconds: float) -> None:
        """One record came to its end (`retried`: one attempt did)."""

    def in_flight(self, count: int) -> None:
        """How many records are under work now."""

    def gave_up(self, record: Record, code: str, message: str, error: BaseException | None) -> None:
        """A record went to the dead letters."""

    def event(self, name: str, **details: object) -> None:
        """Something an operator wants in the log: assigned, revoked, stopping."""


class SilentObserver:
    """Reports nothing."""

    def handling(self, route: str, record: Record, envelope: Envelope) -> AbstractContextManager[Envelope]:
        del route, record
        return nullcontext(envelope)

    def finished(self, topic: str, route: str, result: Result, seconds: float) -> None:
        return None

    def in_flight(self, count: int) -> None:
        return None

    def gave_up(self, record: Record, code: str, message: str, error: BaseException | None) -> None:
        return None

    def event(self, name: str, **details: object) -> None:
        return None
