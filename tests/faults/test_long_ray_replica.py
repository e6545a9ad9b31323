"""The Ray replica that holds the model is killed in mid-generation: its prompts are begun anew and answered once."""

import asyncio
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.local import StackStatus, choose, down, up
from infra.local._processes import marked, marks
from libs.bus.kafka import KafkaBus
from libs.settings import BusSettings
from schemas.completions import CompletionChunk, CompletionGenerated
from tests.support.faults.crowd import Crowd, assert_kept, prompts_of

pytestmark = [pytest.mark.broker, pytest.mark.model, pytest.mark.timeout(900)]
STORY = [{"role": "user", "content": "Tell a long story about a lighthouse keeper and the sea."}]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackStatus]:
    """All services with the real model."""
    try:
        yield up(choose(engine="transformers", home=tmp_path))
    finally:
        down(tmp_path)


def replicas(home: Path) -> list[psutil.Process]:
    """The processes that hold the model."""
    return [process for process in marked(marks(home)) if "ServeReplica" in " ".join(process.cmdline())]


async def test_prompts_are_answered_once_though_the_replica_dies_while_it_writes(
    stack: StackStatus, chance: random.Random
) -> None:
    settings = BusSettings(bootstrap_servers=stack.bootstrap_servers or "")
    bus = KafkaBus(settings, client_id="crowd")
    crowd = Crowd(bus, settings, chance)
    try:
        parameters = {"max_completion_tokens": 120}
        asked = await crowd.ask(4, messages=STORY, stream=True, template=None, parameters=parameters)
        async with asyncio.timeout(300):
            while not set(asked) & await prompts_of(bus, CompletionChunk):  # noqa: ASYNC110 - a topic tells nobody
                await asyncio.sleep(0.2)
        assert not set(asked) <= await prompts_of(bus, CompletionGenerated)
        victims = await asyncio.to_thread(replicas, Path(stack.home))
        assert victims
        for victim in victims:
            os.kill(victim.pid, signal.SIGKILL)
        report = await crowd.verdict(within=500)
    finally:
        await bus.close()
    assert_kept(report, len(asked))
    assert report.prompts.answered == len(asked)
