"""A gateway on the in-memory bus with the small pipeline behind it, and an HTTP client."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from libs.bus import InMemoryBus
from tests.unit.gateway.parts import KEY, Gateway, Pipeline, answering, serving_gateway


@pytest.fixture
async def pipeline(in_memory: InMemoryBus) -> AsyncIterator[Pipeline]:
    async with answering(in_memory) as pipeline:
        yield pipeline


@pytest.fixture
async def gateway(in_memory: InMemoryBus, pipeline: Pipeline, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with serving_gateway(in_memory, tmp_path) as gateway:
        yield gateway


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A caller with a key of the tenant `default`."""
    async with caller(gateway) as client:
        yield client


def caller(gateway: Gateway, key: str = KEY) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=20, trust_env=False)
