"""Whole local stacks, as `tailrace up` starts them: one with the echo engine, one with the real model.

Each is started once per session, in a folder of its own; all tests of one stack run in one worker.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from infra.local import StackStatus, choose, down, up
from libs.bus.kafka import KafkaBus
from libs.settings import BusSettings


def _stack(home: Path, engine: str) -> Iterator[StackStatus]:
    try:
        yield up(choose(engine=engine, home=home))
    finally:
        down(home)


@pytest.fixture(scope="session")
def echo_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackStatus]:
    """All services, with the engine that says the last message again, slowly enough to be streamed."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TAILRACE_INFERENCE_ECHO_TOKEN_SECONDS", "0.01")
        yield from _stack(tmp_path_factory.mktemp("echo-stack"), "echo")


@pytest.fixture(scope="session")
def model_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackStatus]:
    """All services, with the real model in Ray Serve."""
    yield from _stack(tmp_path_factory.mktemp("model-stack"), "transformers")


async def _bus(stack: StackStatus) -> AsyncIterator[KafkaBus]:
    assert stack.bootstrap_servers is not None
    bus = KafkaBus(BusSettings(bootstrap_servers=stack.bootstrap_servers), client_id="e2e")
    yield bus
    await bus.close()


@pytest.fixture
async def echo_bus(echo_stack: StackStatus) -> AsyncIterator[KafkaBus]:
    """The log of the echo stack."""
    async for bus in _bus(echo_stack):
        yield bus


@pytest.fixture
async def model_bus(model_stack: StackStatus) -> AsyncIterator[KafkaBus]:
    """The log of the stack with the real model."""
    async for bus in _bus(model_stack):
        yield bus
