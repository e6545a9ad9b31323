"""A service's life: ready when its parts are, healthy over HTTP, stopped cleanly, broken with a reason."""

import asyncio
import gc
import json
import urllib.request
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest

from libs.bus import Delivery, InMemoryBus, Route, TooManyFailures
from libs.service import Parts, Runtime, Service, spare_the_heap
from libs.settings import BusSettings, ServiceSettings
from libs.telemetry import Metrics, Traces, configure_metrics
from schemas.prompts import PromptRefused
from tests.support.bus_bench import Bench, answer, eventually, on, question


@pytest.fixture(scope="module")
def metrics() -> Metrics:
    return configure_metrics("tested", 0, None)[0]


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    return ServiceSettings(ready_file=tmp_path / "deep" / "ready.json")


def service(settings: ServiceSettings, build: Callable[[Runtime], Parts]) -> Service:
    return Service("tested", "A service under test.", settings, BusSettings(), build)


async def get(port: int, path: str) -> tuple[int, str]:
    def ask() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return await asyncio.to_thread(ask)


async def test_a_service_tells_when_it_is_ready_and_leaves_nothing_behind(
    in_memory: InMemoryBus, metrics: Metrics, settings: ServiceSettings
) -> None:
    life: list[str] = []
    willing: list[bool] = []

    @asynccontextmanager
    async def resource() -> AsyncIterator[None]:
        life.append("entered")
        yield
        life.append("left")

    def build(runtime: Runtime) -> Parts:
        return Parts(routes=[on(answer)], resources=[resource()], checks={"the cat": lambda: bool(willing)},
                     ready_facts=lambda: {"address": "here"})  # fmt: skip

    stop, file = asyncio.Event(), settings.ready_file
    assert file is not None
    runtime = Runtime(in_memory, metrics, Traces(None), settings)
    task = asyncio.create_task(service(settings, build).run_on(runtime, stop))
    bench = Bench(in_memory)
    await bench.put(question("a"))
    await eventually(lambda: bool(in_memory.records("prompt-repeated")))
    assert not file.exists()
    willing.append(True)
    await eventually(file.exists)
    facts = json.loads(file.read_text())
    assert facts["address"] == "here"
    assert await get(facts["health_port"], "/live") == (200, '{"live": true}')
    assert await get(facts["health_port"], "/ready") == (200, '{"ready": true, "waiting": []}')
    status, text = await get(facts["health_port"], "/metrics")
    assert status == 200
    assert "tailrace_handling_duration_seconds" in text
    assert (await get(facts["health_port"], "/other"))[0] == 404
    willing.clear()
    assert await get(facts["health_port"], "/ready") == (503, '{"ready": false, "waiting": ["the cat"]}')
    stop.set()
    await task
    assert life == ["entered", "left"]
    assert not file.exists()


async def test_a_stage_that_breaks_ends_the_service_with_its_reason(
    in_memory: InMemoryBus, metrics: Metrics, settings: ServiceSettings
) -> None:
    def fail(event: PromptRefused) -> None:
        raise RuntimeError

    await Bench(in_memory).put(*[question(f"p{i}", f"k{i}") for i in range(60)])
    parts = Parts(routes=[Route(PromptRefused, fail, delivery=Delivery(bug_attempts=1))])
    runtime = Runtime(in_memory, metrics, Traces(None), settings)
    with pytest.raises(TooManyFailures):
        async with asyncio.timeout(20):
            await service(settings, lambda _: parts).run_on(runtime, asyncio.Event())


def test_what_is_imported_is_spared_by_the_garbage_collector_and_what_comes_later_is_not() -> None:
    class Ring:
        def __init__(self) -> None:
            self.itself = self

    spare_the_heap()
    try:
        assert gc.get_freeze_count() > 10_000
        gone = weakref.ref(Ring())
        gc.collect()
        assert gone() is None
    finally:
        gc.unfreeze()
