"""Whole groups: put back to the beginning of the log; an instance that sleeps until another has its partitions."""

import asyncio
import random

import pytest

from libs.bus.kafka import KafkaBus
from schemas.responses import ResponseReady
from tests.support.faults.crowd import Crowd, assert_kept, prompts_of
from tests.support.faults.family import STAGES, Family
from tests.support.faults.offsets import rewind

pytestmark = [pytest.mark.broker, pytest.mark.timeout(600)]


async def test_the_whole_log_handled_again_changes_nothing(services: Family, log: KafkaBus, crowd: Crowd) -> None:
    await crowd.ask(50)
    assert_kept(await crowd.verdict(), len(crowd.asked))
    before = await crowd.verdict(whole_log=True)
    outcomes = await prompts_of(log, ResponseReady)
    await services.hold(*STAGES)
    await rewind(services.settings, STAGES)
    await crowd.publish(crowd.asked)
    await services.release(*STAGES)
    after = await crowd.verdict(whole_log=True)
    assert after.sound, after.counts
    assert after.prompts.repeated > before.prompts.repeated
    assert (after.prompts.judged, after.prompts.paid_twice) == (before.prompts.judged, before.prompts.paid_twice)
    assert await prompts_of(log, ResponseReady) == outcomes


@pytest.mark.parametrize("sleeper", STAGES)
async def test_an_instance_that_sleeps_past_its_session_does_no_harm_when_it_wakes(
    sleeper: str, services: Family, crowd: Crowd, chance: random.Random
) -> None:
    await services.join(sleeper, ordinal=1)
    try:
        awake = asyncio.Event()
        asking = asyncio.create_task(crowd.ask_until(awake.is_set, at_least=50, within=300))
        for _ in range(2):
            await asyncio.sleep(1 + chance.random())
            services.pause(sleeper)
            # The group gives its partitions away after ten seconds.
            await asyncio.sleep(14 + chance.random())
            services.resume(sleeper)
        awake.set()
        await asking
        assert_kept(await crowd.verdict(), len(crowd.asked))
    finally:
        await services.leave(sleeper, ordinal=1)
