"""Loss of one of three brokers: what was acknowledged is on two others, and the path goes on without it."""

import asyncio
import random
from pathlib import Path

import pytest

from infra.kafka import Cluster
from libs.bus.kafka import KafkaBus
from tests.support.faults.crowd import Crowd, assert_kept
from tests.support.faults.family import family

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]


async def test_the_loss_of_each_of_three_brokers_in_turn_loses_nothing(tmp_path: Path, chance: random.Random) -> None:
    with Cluster(tmp_path / "kafka", brokers=3, die_with_parent=True) as cluster:
        async with family(tmp_path, cluster) as services:
            bus = KafkaBus(services.settings, client_id="crowd")
            crowd = Crowd(bus, services.settings, chance)
            for broker in cluster.brokers:
                await crowd.ask(20)
                await asyncio.to_thread(broker.kill)
                without = asyncio.create_task(asyncio.sleep(chance.uniform(5, 10)))
                await crowd.ask_until(without.done, at_least=20, within=300)
                assert_kept(await crowd.verdict(within=300), len(crowd.asked))
                broker.start()
                await asyncio.to_thread(broker.wait_ready)
            await crowd.ask(20)
            assert_kept(await crowd.verdict(within=300), len(crowd.asked))
            await bus.close()
