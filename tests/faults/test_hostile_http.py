"""A thousand generated requests on every operation of the gateway's OpenAPI document, and bytes that are no request.

Each ends in a documented answer or in OpenAI's error object; none in a 500 of ours, and the gateway goes on.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from libs.bus import InMemoryBus
from schemas.topics import CATALOGUE
from tests.unit.gateway.parts import KEY, answering, serving_gateway

pytestmark = pytest.mark.timeout(900)
CASES = int(os.environ.get("TAILRACE_FAULTS_CASES", "1000"))
SEED = int(os.environ.get("TAILRACE_FAULTS_SEED", "4"))
HEADERS = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway with a small pipeline behind it, in a thread of its own: generated cases are sent by blocking calls."""
    listening, urls, stop = threading.Event(), list[str](), threading.Event()

    async def live(folder: Path) -> None:
        bus = InMemoryBus({topic.name: topic.partitions or 2 for topic in CATALOGUE})
        async with answering(bus), serving_gateway(bus, folder) as gateway:
            urls.append(gateway.url)
            listening.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(live(tmp_path_factory.mktemp("gateway")),))
    thread.start()
    assert listening.wait(60)
    yield urls[0]
    stop.set()
    thread.join(60)


def answers(url: str) -> bool:
    """Whether the gateway still serves."""
    return httpx.get(f"{url}/v1/models", headers=HEADERS, trust_env=False, timeout=20).status_code == 200


def test_generated_requests_end_in_documented_answers(url: str) -> None:
    print(f"TAILRACE_FAULTS_CASES={CASES} TAILRACE_FAULTS_SEED={SEED}")
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    # An operation that the document describes wrongly has no `ok`, and fails here.
    operations = [cast("Any", found).ok() for found in schema.get_all_operations()]
    each = max(1, CASES // (2 * len(operations)) + 1)
    sent: list[int] = []
    for operation in operations:
        for mode in GenerationMode:
            _try(operation, mode, each, url, sent)
    assert len(sent) >= CASES * 0.8
    assert answers(url)


def _try(operation: Any, mode: GenerationMode, count: int, url: str, sent: list[int]) -> None:
    @hypothesis.seed(SEED)
    @hypothesis.settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        response = case.call(base_url=url, headers=HEADERS, timeout=30)
        sent.append(response.status_code)
        case.validate_response(
            response, checks=[not_a_server_error, status_code_conformance, response_schema_conformance]
        )
        if response.status_code >= 400:
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}

    try:
        run()
    except hypothesis.errors.Unsatisfiable:
        # No request of this sort is possible, such as a wrong one where everything is right.
        return


RAW: dict[str, bytes] = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a broken chunk": b"POST /v1/documents HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n",
    "huge headers": b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    "two lengths": b"POST /v1/documents HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
    "a length that is no number": b"POST /v1/documents HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n{}",
    "a body that stops": b"POST /v1/documents HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{",
    "a path of bytes": b"GET /v1/models/%ff%fe%00 HTTP/1.1\r\nhost: x\r\n\r\n",
    "a header injected": b"GET /v1/models HTTP/1.1\r\nhost: x\r\nx-request-id: a\nset-cookie: b\r\n\r\n",
}


@pytest.mark.parametrize("case", RAW)
def test_bytes_that_are_no_request_harm_nothing(url: str, case: str) -> None:
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port or 80), timeout=10) as connection:
        connection.sendall(RAW[case])
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65_536)
    assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert b"\r\nset-cookie" not in answer
    assert answers(url)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"content-type": "application/json", "content-encoding": "gzip"}, b"\x1f\x8b" + b"\x00" * 1_000, 415),
        ({"content-type": "text/plain"}, b"{}", 415),
        ({"content-type": "application/json; charset=\xff"}, b"\xff\xfe", 400),
        ({"content-type": "application/json"}, b"[" * 100_000, 400),
        ({"content-type": "application/json"}, b'{"model": "\\ud800", "messages": []}', 400),
        ({"content-type": "application/json", "idempotency-key": "a\xe9"}, b"{}", 400),
        ({"content-type": "application/json", "idempotency-key": "x" * 256}, b"{}", 400),
        ({"content-type": "multipart/form-data; boundary=x"}, b"--x\r\nbroken", 415),
        ({"content-type": "application/json"}, b" " * 1_000_001, 413),
    ],
)
def test_a_wrong_body_or_header_is_told_in_a_sentence(
    url: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    encoded = [(name, value.encode("latin-1")) for name, value in {**HEADERS, **headers}.items()]
    response = httpx.post(f"{url}/v1/chat/completions", headers=encoded, content=body, trust_env=False, timeout=30)  # type: ignore[arg-type]
    assert response.status_code == status
    assert len(response.json()["error"]["message"]) > 10
    assert answers(url)
