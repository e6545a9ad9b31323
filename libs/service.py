"""The one shared call that gives every service the same logs, traces, metrics, health, delivery and clean stop.

`create_app(settings)` of a service describes it (routes, memories, views, resources); `Service.run` lives its life.
Importing or describing a service touches nothing: no socket, no file, no thread.
"""

import asyncio
import gc
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop
from faststream import FastStream
from faststream.specification import AsyncAPI

from libs.bus.kafka import KafkaBus
from libs.bus.memory import Memory
from libs.bus.routes import Route
from libs.bus.stage import Stage
from libs.bus.transport import Bus
from libs.bus.view import View, ViewReader
from libs.bus.wiring import DeliveryBroker, describe
from libs.clock import Clock, utc_now
from libs.files import write_whole
from libs.health import Check, health_app, serving
from libs.settings import BusSettings, ServiceSettings
from libs.telemetry import (
    Metrics,
    TelemetryObserver,
    Traces,
    configure_logs,
    configure_metrics,
    configure_traces,
    get_logger,
)
from schemas.base import Event

VERSION = "0.1.0"


@dataclass(frozen=True)
class Runtime:
    """What the shared call makes for a service: hand these to handlers and resources that need them."""

    bus: Bus
    metrics: Metrics
    traces: Traces
    settings: ServiceSettings
    clock: Clock = utc_now
    """The time of day; durations are measured by clocks that never jump."""


@dataclass(frozen=True)
class Parts:
    """What a service is made of. `routes.py` fills in what it hears and says."""

    routes: Sequence[Route] = ()
    memories: Sequence[Memory] = ()
    views: Sequence[View[Any]] = ()
    reads: Sequence[type[Event]] = ()
    """Events read outside routes and views, such as a gateway's own partition of replies; told to the document."""
    emits: Sequence[type[Event]] = ()
    """Events written outside routes, such as the prompts of a gateway; told to the document."""
    resources: Sequence[AbstractAsyncContextManager[Any]] = ()
    """Entered in order before the bus starts, left in reverse after it has stopped: engines, stores, HTTP servers."""
    checks: Mapping[str, Check] = field(default_factory=dict)
    """More conditions of readiness, by name."""
    ready_facts: Callable[[], Mapping[str, object]] = dict
    """More facts for the ready file, such as the gateway's address; called once all is ready."""


Build = Callable[[Runtime], Parts]


@dataclass(frozen=True)
class Service:
    """One service: its name, a sentence, its settings and how its parts are built."""

    name: str
    summary: str
    settings: ServiceSettings
    bus_settings: BusSettings
    build: Build

    def run(self) -> int:
        """Until SIGTERM or SIGINT; the exit code. 1: something broke, the log says what."""
        configure_logs(self.name, self.settings.instance, self.settings.log_level)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(self._life())

    async def _life(self) -> int:
        log = get_logger("service")
        try:
            await self._live()
        except Exception as error:
            log.error("broken", error=type(error).__name__, reason=str(error))  # noqa: TRY400 - one line, no locals
            return 1
        log.info("stopped")
        return 0

    async def _live(self) -> None:
        settings = self.settings
        spare_the_heap()
        metrics, provider = configure_metrics(self.name, settings.instance, settings.otlp_endpoint)
        traces = configure_traces(self.name, settings.instance, settings.otlp_endpoint, settings.trace_file)
        bus = KafkaBus(self.bus_settings, client_id=f"tailrace-{self.name}-{settings.instance}")
        try:
            await self.run_on(Runtime(bus, metrics, traces, settings))
        finally:
            await bus.close()
            traces.shutdown()
            provider.shutdown()

    async def run_on(self, runtime: Runtime, stop: asyncio.Event | None = None) -> None:
        """The service's life on a given bus: tests hand in one of their own, and an event that stops it."""
        parts = self.build(runtime)
        observer = TelemetryObserver(self.name, runtime.metrics, runtime.traces)
        stage = self._stage(runtime, parts, observer) if parts.routes else None
        readers = [
            ViewReader(self.name, runtime.bus, view, observer=observer, clock=runtime.clock) for view in parts.views
        ]
        checks: dict[str, Check] = dict(parts.checks)
        if stage is not None:
            checks["consumer group"] = lambda: stage.ready
        for reader in readers:
            checks[f"view of {reader.topic}"] = lambda reader=reader: reader.ready  # type: ignore[misc]
        async with AsyncExitStack() as stack:
            for resource in parts.resources:
                await stack.enter_async_context(resource)
            health = health_app(lambda: True, checks)
            port = await stack.enter_async_context(
                serving(health, runtime.settings.health_host, runtime.settings.health_port)
            )
            await self._deliver(runtime, parts, stage, readers, checks, port, stop)

    def _stage(self, runtime: Runtime, parts: Parts, observer: TelemetryObserver) -> Stage:
        return Stage(
            self.name,
            runtime.bus,
            parts.routes,
            memories=parts.memories,
            instance=f"tailrace-{self.name}-{runtime.settings.instance}",
            observer=observer,
            clock=runtime.clock,
            grace=timedelta(seconds=runtime.settings.grace_seconds),
        )

    async def _deliver(
        self,
        runtime: Runtime,
        parts: Parts,
        stage: Stage | None,
        readers: Sequence[ViewReader[Any]],
        checks: Mapping[str, Check],
        port: int,
        stop: asyncio.Event | None,
    ) -> None:
        stopped = stop or _on_signals()
        runs = [*([stage.run] if stage else []), *(reader.run for reader in readers)]
        broker = DeliveryBroker(
            self.bus_settings.bootstrap_servers, runs, on_stop=stage.stop if stage else None, on_end=stopped.set
        )
        app = FastStream(broker, logger=None)
        announcing = asyncio.create_task(self._announce(runtime, parts, checks, port))
        try:
            await app.start()
            await stopped.wait()
        finally:
            announcing.cancel()
            _remove(runtime.settings.ready_file)
            await app.stop()
        broker.raise_failure()

    async def _announce(self, runtime: Runtime, parts: Parts, checks: Mapping[str, Check], port: int) -> None:
        """Logs and writes the ready file once every check has passed."""
        while not all(check() for check in checks.values()):  # noqa: ASYNC110 - checks are plain functions
            await asyncio.sleep(0.02)
        facts = {"pid": os.getpid(), "health_port": port, **parts.ready_facts()}
        get_logger("service").info("ready", **facts)
        if (file := runtime.settings.ready_file) is not None:
            await asyncio.to_thread(write_whole, file, json.dumps(facts))

    def document(self, parts: Parts) -> AsyncAPI:
        """The AsyncAPI document of what this service hears and says."""
        broker = DeliveryBroker(self.bus_settings.bootstrap_servers)
        describe(broker, self.name, parts.routes, parts.views, reads=parts.reads, emits=parts.emits)
        return AsyncAPI(broker, title=f"Tailrace {self.name}", version=VERSION, description=self.summary)


def spare_the_heap() -> None:
    """Takes all that lives now (modules, classes, schemas) out of the garbage collector's rounds.

    A full round over it stopped the event loop for 50 to 100 ms, again and again, and cost a fifth of the delivery of a
    record (docs/experiments.md). Call it once, when everything is imported; what is made later is collected as ever.
    """
    gc.collect()
    gc.freeze()


def _on_signals() -> asyncio.Event:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    return stopped


def _remove(file: Path | None) -> None:
    if file is not None:
        file.unlink(missing_ok=True)
