"""Everything at once, at random moments: kill -9, a broker that stops or is killed, instances that come and go.

All clocks jump meanwhile, some consumers are slow, some are stopped for a while and do not know it. Then generations
are counted where they are paid for, and every record of the path comes again.
"""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Container, Iterable

import pytest

from libs.audit._path import EVENT_TOPICS
from libs.bus import Outgoing
from libs.bus.kafka import KafkaBus
from schemas.completions import CompletionGenerated
from schemas.responses import ResponseReady, ResponseShadow
from schemas.topics import topics_of
from tests.support.faults.crowd import Crowd, assert_kept, prompts_of, under_way, written
from tests.support.faults.endpoint import endpoint
from tests.support.faults.family import STAGES, Family
from tests.support.faults.fate import Fate

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("faults")]
ROUNDS = int(os.environ.get("TAILRACE_FAULTS_ROUNDS", "4"))
OUTCOMES = {topic.name for event in (ResponseReady, ResponseShadow) for topic in topics_of(event)}


async def test_a_storm_loses_nothing_and_does_nothing_twice(
    services: Family, crowd: Crowd, chance: random.Random
) -> None:
    await services.anew(*STAGES, fate=Fate(clock_seed=chance.randrange(1000)))
    try:
        weather = asyncio.create_task(storm(services, chance))
        await crowd.ask_until(weather.done, at_least=200, within=900)
        await weather
        assert_kept(await crowd.verdict(within=300), len(crowd.asked))
    finally:
        await services.anew(*STAGES)


async def storm(services: Family, chance: random.Random) -> None:
    """A second instance of each stage comes, and goes; one instance at a time is harmed before and after."""
    await services.join(*STAGES, ordinal=1)
    for turn in range(ROUNDS):
        await harm(services, chance, turn, among=2)
    for name in STAGES:
        await services.leave(name, ordinal=1, by=chance.choice([signal.SIGKILL, signal.SIGTERM]))
    for turn in range(ROUNDS):
        await harm(services, chance, turn, among=1)


async def harm(services: Family, chance: random.Random, turn: int, *, among: int) -> None:
    """What is done takes turns; to whom and when is chance."""
    name, ordinal = chance.choice(STAGES), chance.randrange(among)
    await asyncio.sleep(chance.random())
    match turn % 4:
        case 0:
            services.meets(name, Fate(poll_pause=0.02), ordinal=ordinal)
        case 1:
            await broker_restarts(services, by=chance.choice(["kill", "stop"]))
        case 2:
            services.pause(name, ordinal)
            await asyncio.sleep(1)
            services.resume(name, ordinal)
        case _:
            services.kill(name, ordinal)


async def broker_restarts(services: Family, by: str) -> None:
    """In an orderly way or not."""
    [broker] = services.cluster.brokers
    await asyncio.to_thread(getattr(broker, by))
    broker.start()
    await asyncio.to_thread(broker.wait_ready)


async def test_no_generation_is_paid_twice_but_those_in_flight_at_a_kill(
    services: Family, log: KafkaBus, crowd: Crowd, chance: random.Random
) -> None:
    async with endpoint(seconds=0.05) as engine:
        environ = {
            "TAILRACE_INFERENCE_ENGINE": "openai",
            "TAILRACE_INFERENCE_ENDPOINTS": f'["{engine.url}/v1"]',
            "TAILRACE_INFERENCE_CACHE_ENTRIES": "0",
        }
        await services.anew("inference", fate=Fate(environ=environ))
        try:
            asked: set[str] = set()
            in_flight = 0
            for _ in range(3):
                asked |= set(await crowd.ask(60, parameters={}))
                await engine.was_asked(chance.randint(1, 30))
                await services.hold("inference")
                in_flight += await under_way(log)
                await services.release("inference", fate=Fate(environ=environ))
            report = await crowd.verdict()
        finally:
            await services.anew("inference")
        assert_kept(report, len(crowd.asked))
        generated = len(asked & await prompts_of(log, CompletionGenerated))
        assert 0 < generated <= engine.asked <= generated + in_flight


async def test_every_record_of_the_path_written_again_changes_nothing(log: KafkaBus, crowd: Crowd) -> None:
    await crowd.ask(40)
    before = await crowd.verdict()
    assert_kept(before, len(crowd.asked))
    outcomes = await written(log, ResponseReady)
    copies = [copy async for copy in everything_on(log, EVENT_TOPICS, crowd.ids)]
    assert len(copies) > 3 * len(crowd.asked)
    await crowd.publish(copies)
    after = await crowd.verdict()
    assert_kept(after, len(crowd.asked))
    assert after.prompts.repeated > before.prompts.repeated
    assert after.prompts.paid_twice == 0
    assert await written(log, ResponseReady) == outcomes


async def everything_on(bus: KafkaBus, topics: Iterable[str], prompt_ids: Container[str]) -> AsyncIterator[Outgoing]:
    """The records about these prompts, to be written once more, each to its own partition."""
    for topic in topics:
        for partition, end in (await bus.end_offsets(topic)).items():
            async for record in bus.read(topic, partition, end=end):
                if topic not in OUTCOMES and json.loads(record.value or b"")["prompt_id"] in prompt_ids:
                    yield Outgoing(topic, record.key, record.value, tuple(record.headers), partition)
