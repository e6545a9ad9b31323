"""Keeps the local broker running within the supervisor, as `Keeper` does for the services."""

import asyncio
import contextlib
from collections.abc import Callable

from infra.kafka import Broker, BrokerError
from infra.local._processes import ProcessId
from infra.local.options import UpOptions
from infra.local.state import Instance

POLL = 0.2


async def keep_broker(broker: Broker, options: UpOptions, update: Callable[..., Instance]) -> None:
    """Watch a started broker; start it again on its ports and data whenever it has ended. Until cancelled."""
    clock = asyncio.get_running_loop().time
    restarts = short_lives = 0
    while True:
        update(phase="ready", process=_identity(broker))
        ready_since = clock()
        while broker.pid is not None:  # noqa: ASYNC110 -- a process sets no event
            await asyncio.sleep(POLL)
        if clock() - ready_since >= options.stable_after:
            short_lives = 0
        while broker.pid is None:
            restarts += 1
            update(phase="restarting", process=None, restarts=restarts)
            await asyncio.sleep(options.delay_after(short_lives))
            short_lives += 1
            await _restart(broker)


async def _restart(broker: Broker) -> None:
    # Shielded: a stop that comes now must find the process that this makes.
    with contextlib.suppress(BrokerError):
        await asyncio.shield(asyncio.to_thread(broker.restart))


def _identity(broker: Broker) -> ProcessId | None:
    return ProcessId.of(broker.pid) if broker.pid else None
