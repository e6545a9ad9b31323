"""One record now and then, outside routes: with a producer of its own."""

from datetime import datetime

from libs.bus.envelope import encode, headers_for
from libs.bus.records import Outgoing
from libs.bus.transport import Bus
from schemas.base import Event
from schemas.topics import topic_of


async def write_once(bus: Bus, outgoing: Outgoing) -> None:
    """Returns when the log has it."""
    producer = await bus.producer()
    try:
        await (await producer.send(outgoing))
    finally:
        await producer.stop()


async def say(bus: Bus, event: Event, event_id: str, by: str, now: datetime) -> None:
    """Writes an event where the contract wants it; returns when the log has it. `by`: the service."""
    headers = headers_for(event, event_id, by, now=now)
    await write_once(bus, Outgoing(topic_of(type(event)).name, event.key.encode(), encode(event), headers))
