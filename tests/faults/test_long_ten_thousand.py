"""The long run: ten thousand prompts through a stack as `tailrace up` starts it, fifty kill -9, five broker restarts.

`TAILRACE_FAULTS_PROMPTS`, `_KILLS` and `_RESTARTS` change the numbers. The moments are drawn over the prompts.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from aiokafka.errors import KafkaError

from infra.local import SERVICES, StackStatus, astatus, choose, down, up
from libs.bus.kafka import KafkaBus
from libs.settings import BusSettings
from schemas.responses import ResponseReady
from tests.support.faults.crowd import Crowd, assert_kept, under_way, written

pytestmark = [pytest.mark.broker, pytest.mark.timeout(7200)]
PROMPTS = int(os.environ.get("TAILRACE_FAULTS_PROMPTS", "10000"))
KILLS = int(os.environ.get("TAILRACE_FAULTS_KILLS", "50"))
RESTARTS = int(os.environ.get("TAILRACE_FAULTS_RESTARTS", "5"))
_BEHIND = 400
"""Prompts published ahead of their outcomes, at most."""


@dataclass
class Harm:
    """What was done, and what inference was at work on whenever it died."""

    home: Path
    bus: KafkaBus
    done: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Signals whichever process is there, ready or on its way up."""
        async with asyncio.timeout(120):
            while (pid := await self._pid(name)) is None:  # noqa: ASYNC110 - a process tells nobody
                await asyncio.sleep(0.1)
        process = psutil.Process(pid)
        os.kill(pid, number)
        await asyncio.to_thread(process.wait, 60)
        self.done[name] += 1
        if name == "inference":
            self.in_flight += await under_way(self.bus)

    async def _pid(self, name: str) -> int | None:
        status = await astatus(self.home, with_lag=False)
        found = status.broker if name == "broker" else status.services[name]
        return found.pid if found is not None else None


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackStatus]:
    """All services, generations of a few hundredths of a second each."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TAILRACE_INFERENCE_ECHO_TOKEN_SECONDS", "0.005")
        try:
            yield up(choose(engine="echo", home=tmp_path))
        finally:
            down(tmp_path)


async def test_ten_thousand_prompts_have_their_outcomes_whatever_is_killed(
    stack: StackStatus, chance: random.Random, say: Callable[[str], None]
) -> None:
    settings = BusSettings(bootstrap_servers=stack.bootstrap_servers or "")
    bus = KafkaBus(settings, client_id="crowd")
    crowd, harm = Crowd(bus, settings, chance), Harm(Path(stack.home), bus)
    moments = plan(chance)
    began = time.monotonic()
    try:
        while len(crowd.asked) < PROMPTS:
            await crowd.ask(min(20, PROMPTS - len(crowd.asked)))
            while moments and moments[0][0] <= len(crowd.asked):
                _, name, number = moments.pop(0)
                await harm.kill(name, number)
                say(f"{len(crowd.asked):6} asked, {harm.done.total():3} killed: {number.name} to {name}")
            await not_too_far_ahead(crowd)
        say(f"all asked after {time.monotonic() - began:.0f} s")
        report = await crowd.verdict(within=1800)
        seconds = time.monotonic() - began
        status = await astatus(harm.home, with_lag=False)
    finally:
        await bus.close()
    restarts = {name: service.restarts for name, service in status.services.items()}
    assert status.broker is not None
    restarts["broker"] = status.broker.restarts
    say(f"{seconds:.0f} s; {report.prompts}")
    say(f"killed {dict(harm.done)}; restarts seen {restarts}")
    say(f"second generations {report.prompts.paid_twice}, in flight at the kills {harm.in_flight}")
    for name, count in report.topics.items():
        if again := count.copies + count.redone + count.redone_otherwise:
            say(f"{name}: {again} of {count.records} came again, {count.redone_otherwise} decided otherwise")
    assert_kept(report, PROMPTS)
    assert report.prompts.paid_twice <= harm.in_flight
    assert sum(harm.done.values()) == KILLS + RESTARTS
    assert all(restarts[name] >= count for name, count in harm.done.items())


def plan(chance: random.Random) -> list[tuple[int, str, signal.Signals]]:
    """After how many prompts who gets which signal. Every second restart of the broker is an orderly one."""
    kills = [(chance.randrange(PROMPTS), chance.choice(SERVICES), signal.SIGKILL) for _ in range(KILLS)]
    ways = (signal.SIGKILL, signal.SIGTERM)
    restarts = [(chance.randrange(PROMPTS), "broker", ways[number % 2]) for number in range(RESTARTS)]
    return sorted([*kills, *restarts])


async def not_too_far_ahead(crowd: Crowd) -> None:
    """Returns when the outcomes are near enough."""
    while await behind(crowd) > _BEHIND:  # noqa: ASYNC110 - a topic tells nobody
        await asyncio.sleep(0.1)


async def behind(crowd: Crowd) -> int:
    """Prompts asked beyond the outcomes that are there."""
    try:
        return len(crowd.asked) - await written(crowd.bus, ResponseReady)
    except (KafkaError, LookupError):
        return _BEHIND + 1
