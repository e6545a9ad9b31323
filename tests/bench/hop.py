"""One hop of nothing but delivery: `python -m tests.bench.hop SERVERS FROM_PREFIX TO_PREFIX [INSTANCE]`.

A whole service of ours (telemetry, health, uvloop) whose handler returns the event it was given. Topics of the next hop
have another prefix, so that one event type can walk down a path.
"""

import asyncio
import signal
import sys
from collections.abc import Collection, Mapping
from datetime import timedelta

import uvloop

from libs.bus import Route
from libs.bus.kafka import KafkaBus
from libs.bus.transport import GroupConsumer
from libs.service import Parts, Runtime, Service, spare_the_heap
from libs.settings import BusSettings, ServiceSettings
from libs.telemetry import Traces, configure_logs, configure_metrics
from schemas.prompts import PromptAccepted


class HopBus(KafkaBus):
    """Consumes under one prefix, writes under another."""

    def __init__(self, source: BusSettings, target: BusSettings) -> None:
        super().__init__(target, client_id="bench-hop")
        self._source = KafkaBus(source, client_id="bench-hop")

    def consumer(
        self, group: str, topics: Collection[str], instance: str | None, linger: timedelta = timedelta(0)
    ) -> GroupConsumer:
        return self._source.consumer(group, topics, instance, linger)


def same(event: PromptAccepted) -> PromptAccepted:
    """The identity."""
    return event


async def hop(servers: str, source: str, target: str, instance: str = "0") -> None:
    """Until SIGTERM; says `ready` on stdout once it is in its group."""
    configure_logs("hop", 0, "warning")
    spare_the_heap()
    metrics, _ = configure_metrics("hop", 0, None)
    bus = HopBus(
        BusSettings(bootstrap_servers=servers, topic_prefix=source),
        BusSettings(bootstrap_servers=servers, topic_prefix=target),
    )
    settings = ServiceSettings(instance=int(instance), log_level="warning", grace_seconds=1)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    def ready() -> Mapping[str, object]:
        print("ready", flush=True)
        return {}

    parts = Parts(routes=[Route(PromptAccepted, same, emits=(PromptAccepted,))], ready_facts=ready)
    service = Service("hop", "Hands on what it gets.", settings, BusSettings(), lambda _: parts)
    try:
        await service.run_on(Runtime(bus, metrics, Traces(None), settings), stop)
    finally:
        await bus.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(hop(*sys.argv[1:5]))
