"""A broker that is away or breaks off, spans, and a port that is taken."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from libs.bus import InMemoryBus, Producer, Record, header
from libs.telemetry import Traces
from schemas.topics import CATALOGUE
from tests.unit.gateway.conftest import caller
from tests.unit.gateway.parts import MODEL, Pipeline, answering, serving_gateway

ASKED = {"model": MODEL, "messages": [{"role": "user", "content": "echo x"}]}
CHAT = "/v1/chat/completions"
TOPICS = {topic.name: topic.partitions or 2 for topic in CATALOGUE}


class AwayBus(InMemoryBus):
    """A log that cannot be reached until `back` is set."""

    def __init__(self) -> None:
        super().__init__(TOPICS)
        self.back = asyncio.Event()

    async def producer(self) -> Producer:
        if not self.back.is_set():
            raise OSError("no broker")
        return await super().producer()


class BreakingBus(InMemoryBus):
    """A log whose readers break off after each batch that held something."""

    async def follow(self, topic: str, starts: Mapping[int, int]) -> AsyncGenerator[Sequence[Record], None]:
        async for records in super().follow(topic, starts):
            yield records
            if records:
                raise OSError("the connection broke")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def test_callers_are_turned_away_until_the_broker_is_there(tmp_path: Path) -> None:
    bus, port = AwayBus(), free_port()

    async def ask_until_answered() -> list[tuple[int, str | None]]:
        seen = []
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"authorization": "Bearer tr-test-key"}, trust_env=False
        ) as client:
            while True:
                try:
                    response = await client.post(CHAT, json=ASKED)
                except httpx.ConnectError:
                    continue
                seen.append((response.status_code, response.headers.get("retry-after")))
                bus.back.set()
                if response.status_code == 200:
                    return seen

    asking = asyncio.create_task(ask_until_answered())
    async with asyncio.timeout(30):
        await _run_until(bus, tmp_path, port, asking)
    seen = asking.result()
    assert seen[0] == (503, "1")
    assert seen[-1][0] == 200


async def _run_until(bus: AwayBus, folder: Path, port: int, asking: "asyncio.Task[object]") -> None:
    async with serving_gateway(bus, folder, port=port), answering(bus):
        await asking


async def test_a_reader_that_breaks_off_goes_on_where_it_was(tmp_path: Path) -> None:
    bus = BreakingBus(TOPICS)
    async with answering(bus), serving_gateway(bus, tmp_path) as gateway, caller(gateway) as client:
        answered = 0
        async with asyncio.timeout(30):
            while answered < 3:
                response = await client.post(CHAT, json=ASKED)
                assert response.status_code in {200, 503}
                answered += response.status_code == 200


async def test_a_taken_port_is_named(in_memory: InMemoryBus, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
            async with serving_gateway(in_memory, tmp_path, port=port):
                pass


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
async def traced(
    in_memory: InMemoryBus, pipeline: Pipeline, tmp_path: Path, spans: InMemorySpanExporter
) -> AsyncIterator[httpx.AsyncClient]:
    """A caller of a gateway that traces."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    async with serving_gateway(in_memory, tmp_path, traces=Traces(provider)) as gateway, caller(gateway) as client:
        yield client
    provider.shutdown()


async def finished(spans: InMemorySpanExporter, count: int) -> tuple[ReadableSpan, ...]:
    """The spans, once there are so many."""
    async with asyncio.timeout(10):
        while len(found := spans.get_finished_spans()) < count:  # noqa: ASYNC110 - an exporter has no event
            await asyncio.sleep(0)
    return found


async def test_a_request_is_a_server_span_within_the_callers_trace(
    traced: httpx.AsyncClient, spans: InMemorySpanExporter, in_memory: InMemoryBus
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await traced.post(CHAT, json=ASKED, headers={"traceparent": parent})
    [span] = await finished(spans, 1)
    assert (span.name, span.kind) == (f"POST {CHAT}", SpanKind.SERVER)
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["http.route"] == CHAT
    [record] = in_memory.records("prompt-submitted")
    context = span.get_span_context()
    assert context is not None
    assert header(record, "traceparent") == f"00-{context.trace_id:032x}-{context.span_id:016x}-01".encode()


async def test_only_our_own_failures_are_errors_of_the_span(
    traced: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    body = {**ASKED, "messages": [{"role": "user", "content": "fail internal_error"}]}
    await traced.post(CHAT, json=body)
    await traced.get("/v1/models/nobody")
    failed, unknown = await finished(spans, 2)
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "500"
    assert unknown.status.status_code is StatusCode.UNSET
