"""kill -9 of every stage at every boundary of a step: before and after produce, before and after commit."""

import random

import pytest

from tests.support.faults.crowd import Crowd, assert_kept
from tests.support.faults.family import STAGES, Family
from tests.support.faults.fate import BOUNDARIES, Fate

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("faults")]


async def test_every_stage_may_die_at_every_boundary_of_a_step(
    services: Family, crowd: Crowd, chance: random.Random
) -> None:
    await crowd.ask(20)
    for stage in STAGES:
        deaths = [
            Fate(dies=boundary, at=chance.randint(1, 4), produce_lag=0.3 if boundary.endswith("commit") else 0.0)
            for boundary in BOUNDARIES
        ]
        services.meets(stage, *chance.sample(deaths, len(deaths)))
    await crowd.ask_until(lambda: not services.doomed(), at_least=100)
    report = await crowd.verdict()
    print(report.prompts, services.exits)
    assert_kept(report, len(crowd.asked))
    assert {name: services.exits[name].count(-9) for name in STAGES} == dict.fromkeys(STAGES, 1 + len(BOUNDARIES))
