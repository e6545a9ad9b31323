"""What commands that ask a service for long work have in common: leave at once, or watch it to its end."""

from typing import TypeVar

from libs.bus.kafka import KafkaBus
from libs.clock import utc_now
from schemas.base import Event
from services.console.adapters.connection import with_bus
from services.console.adapters.terminal import out, print_json, progress
from services.console.handlers.asking import Following, Kind, R, ask

E = TypeVar("E", bound=Event)


def came_of(kind: Kind[R], request: R, end: type[E], title: str, *, detach: bool, as_json: bool) -> E | None:
    """What came of the request. None: `detach`, and its id is printed. Raises ConsoleError."""
    if detach:
        with_bus(lambda bus: ask(bus, kind, request, utc_now))
        print_json({"request_id": request.request_id}) if as_json else out().print(request.request_id, markup=False)
        return None

    async def work(bus: KafkaBus) -> E:
        with progress(title) as shown:
            found = await Following(bus, kind, request, shown, utc_now).run()
            assert isinstance(found, end)
            return found

    return with_bus(work)
