"""A prompt's way as one trace: over stages, to a file and to a collector, and never with what was being worked on."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from opentelemetry.metrics import NoOpMeter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from libs.bus import InMemoryBus, Outgoing, Rejected, Route
from libs.health import serving
from libs.telemetry import Metrics, TelemetryObserver, Traces
from libs.telemetry.traces import configure_traces
from schemas.prompts import PromptFailed, PromptRefused, PromptRepeated
from tests.support.bus_bench import Bench, answer, question

TRACE = "0af7651916cd43dd8448eb211c80319c"
UPSTREAM = f"00-{TRACE}-b7ad6b7169203331-01".encode()


@pytest.fixture
def bench(in_memory: InMemoryBus) -> Bench:
    return Bench(in_memory)


async def ask(bench: Bench, name: str) -> None:
    event = question(name)
    body = event.model_dump_json().encode()
    await bench.put_raw(Outgoing("prompt-refused", event.key.encode(), body, (("traceparent", UPSTREAM),), 0))


async def handle(bench: Bench, stage: str, route: Route, traces: Traces, until: str) -> None:
    """A stage with this tracer takes all that waits for it, and its spans are written out."""
    observer = TelemetryObserver(stage, Metrics(NoOpMeter("test")), traces)
    async with bench.running(route, name=stage, observer=observer):
        async with asyncio.timeout(20):
            async for records in bench.bus.follow(until, {0: 0, 1: 0}):
                if records:
                    break
    traces.shutdown()


def spans(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


async def test_each_stage_adds_a_span_to_the_upstreams_trace(bench: Bench, tmp_path: Path) -> None:
    def again(event: PromptRepeated) -> PromptFailed:
        reason = {"code": "internal_error", "message": "none", "stage": "test"}
        return PromptFailed.model_validate({**event.model_dump(), "reason": reason})

    first = configure_traces("first", 0, None, tmp_path / "deep" / "first.jsonl")
    second = configure_traces("second", 1, None, tmp_path / "second.jsonl")
    await ask(bench, "p1")
    await handle(bench, "first", Route(PromptRefused, answer), first, "prompt-repeated")
    await handle(bench, "second", Route(PromptRepeated, again), second, "prompt-failed")
    [one], [two] = spans(tmp_path / "deep" / "first.jsonl"), spans(tmp_path / "second.jsonl")
    assert one["context"]["trace_id"] == two["context"]["trace_id"] == f"0x{TRACE}"
    assert one["parent_id"] == "0xb7ad6b7169203331"
    assert two["parent_id"] == one["context"]["span_id"]
    assert two["resource"]["attributes"]["service.name"] == "second"
    assert two["resource"]["attributes"]["service.instance.id"] == "1"
    assert one["attributes"]["messaging.destination.name"] == "prompt-refused"


async def test_a_span_of_a_failure_names_the_error_and_not_its_words(bench: Bench, tmp_path: Path) -> None:
    def refuse(event: PromptRefused) -> None:
        raise Rejected("ada@example.org wrote this")

    await ask(bench, "p1")
    traces = configure_traces("first", 0, None, tmp_path / "first.jsonl")
    await handle(bench, "first", Route(PromptRefused, refuse), traces, "prompt-refused-dlq")
    [span] = spans(tmp_path / "first.jsonl")
    assert span["status"] == {"status_code": "ERROR", "description": "Rejected"}
    assert "ada@example.org" not in (tmp_path / "first.jsonl").read_text()


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A place that takes traces over OTLP/HTTP, and what it took."""
    app, taken = FastAPI(), list[ExportTraceServiceRequest]()

    @app.post("/v1/traces")
    async def take(request: Request) -> Response:
        taken.append(ExportTraceServiceRequest.FromString(await request.body()))
        return Response(status_code=200)

    async with serving(app, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}", taken


async def test_a_collector_gets_the_spans_over_otlp(bench: Bench) -> None:
    await ask(bench, "p1")
    async with collector() as (endpoint, taken):
        traces = configure_traces("first", 0, endpoint, None)
        observer = TelemetryObserver("first", Metrics(NoOpMeter("test")), traces)
        async with bench.running(Route(PromptRefused, answer), observer=observer):
            async for records in bench.bus.follow("prompt-repeated", {0: 0}):
                if records:
                    break
        await asyncio.to_thread(traces.shutdown)
    [span] = [span for each in taken for r in each.resource_spans for scope in r.scope_spans for span in scope.spans]
    assert span.trace_id.hex() == TRACE


async def test_a_collector_that_is_away_stops_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    await ask(bench, "p1")
    async with collector() as (endpoint, _):
        pass
    traces = configure_traces("first", 0, endpoint, None)
    observer = TelemetryObserver("first", Metrics(NoOpMeter("test")), traces)
    async with bench.running(Route(PromptRefused, answer), observer=observer):
        async for records in bench.bus.follow("prompt-repeated", {0: 0}):
            if records:
                break
    await asyncio.to_thread(traces.shutdown)
    assert await bench.answers() == ["p1"]


async def test_without_a_tracer_the_upstreams_context_is_handed_on(bench: Bench) -> None:
    await ask(bench, "p1")
    observer = TelemetryObserver("first", Metrics(NoOpMeter("test")), configure_traces("first", 0, None, None))
    async with bench.running(Route(PromptRefused, answer), observer=observer):
        async for records in bench.bus.follow("prompt-repeated", {0: 0}):
            if records:
                break
    [record] = await bench.read("prompt-repeated")
    assert dict(record.headers)["traceparent"] == UPSTREAM
