"""kill -9 of feedback at every boundary of a step and at any moment: the same examples and dead letters as in peace."""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from infra.local.lag import consumer_lag
from libs.bus.kafka import KafkaBus
from schemas.responses import ResponseReady, response_id_of
from schemas.topics import topics_of
from tests.support.faults.critics import TENANT, Critics
from tests.support.faults.crowd import PLAIN, Crowd, prompts_of
from tests.support.faults.family import Family
from tests.support.faults.fate import BOUNDARIES, Fate
from tests.support.faults.in_peace import Ends, read, undisturbed, written

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("faults")]
QUIET = {"TAILRACE_FEEDBACK_PUBLISH_AFTER": "0"}
IMPATIENT = {**QUIET, "TAILRACE_FEEDBACK_WAIT_FOR": "PT0.2S", "TAILRACE_FEEDBACK_SWEEP_EVERY": "PT0.1S"}
# One of the two is slow at a time: then the other is well ahead of it, and whoever relied on the wrong one has lost.
LAGS: tuple[dict[str, Any], ...] = ({"produce_lag": 0.6}, {"store_lag": 0.3})
DEATHS = [(boundary, lag) for boundary in BOUNDARIES for lag in (LAGS if boundary.endswith("commit") else ({},))]
KILLS = 4
ADDRESS = re.compile(rb"[\w.+-]+@[\w-]+\.\w+")


@pytest.fixture
async def critics(services: Family, log: KafkaBus, crowd: Crowd, chance: random.Random) -> AsyncIterator[Critics]:
    """They have said something already when the first answers come. Feedback is there."""
    made = Critics(crowd, chance)
    await services.join("feedback", fate=Fate(environ=QUIET))
    services.pause("inference")
    try:
        asked = await crowd.ask(60, **PLAIN)
        mail = [{"role": "user", "content": "Write to jane@example.org today."}]
        asked += await crowd.ask(4, **{**PLAIN, "messages": mail})
        made.refused = await crowd.ask(3, **{**PLAIN, "template": "nobody@9"})
        await made.early(asked)
    finally:
        services.resume("inference")
    async with asyncio.timeout(60):
        while not crowd.ids <= await prompts_of(log, ResponseReady):  # noqa: ASYNC110 - a topic tells nobody
            await asyncio.sleep(0.1)
    made.answers = {prompt: text for prompt, text in (await answers(log)).items() if prompt in asked}
    yield made
    await services.leave("feedback")


async def answers(log: KafkaBus) -> dict[str, str]:
    """By prompt id, as upstreams read them."""
    bodies = [json.loads(r.value or b"") for topic in topics_of(ResponseReady) async for r in read(log, topic.name)]
    return {body["prompt_id"]: body["text"] for body in bodies if body["status"] == "answered"}


async def ends_as(services: Family, log: KafkaBus, critics: Critics, expected: Ends) -> None:
    """Returns once the log holds just that and nothing is left to be heard."""
    found = await written(log, critics)
    try:
        async with asyncio.timeout(20):
            while found != expected or await consumer_lag(services.settings, ["feedback"]) != {"feedback": 0}:
                await asyncio.sleep(0.1)
                found = await written(log, critics)
    except TimeoutError:
        print(services.log_tail("feedback"))
        assert found.letters == expected.letters
        assert differing(found, expected) == []
        raise


def differing(found: Ends, expected: Ends) -> list[tuple[str, bytes | None, bytes | None]]:
    """Response id, what was found and what was expected, of the first few that differ."""
    ids = sorted(found.examples.keys() | expected.examples.keys())
    both = [(each, found.examples.get(each), expected.examples.get(each)) for each in ids]
    return [each for each in both if each[1] != each[2]][:3]


async def test_feedback_may_die_at_every_boundary_and_any_moment_and_ends_as_undisturbed(
    services: Family, log: KafkaBus, critics: Critics, chance: random.Random
) -> None:
    deaths = [Fate(dies=boundary, at=chance.randint(1, 3), environ=QUIET, **lag) for boundary, lag in DEATHS]
    services.meets("feedback", *chance.sample(deaths, len(deaths)))
    await speak_while_doomed(services, critics)
    assert services.exits["feedback"] == [-9] * (1 + len(DEATHS))
    for turn in range(KILLS):
        await critics.speak()
        if turn == KILLS // 2:
            await critics.erase("s-1")
        await asyncio.sleep(chance.random() / 2)
        services.kill("feedback")
    await ends_as(services, log, critics, await undisturbed(log, critics, waited=False))

    # Nobody will ever answer some of it: that dies, too, before and after its dead letters are written.
    await services.hold("feedback")
    await services.release("feedback", fate=Fate(environ=IMPATIENT), wait=False)
    services.meets("feedback", *(replace(fate, environ=IMPATIENT) for fate in deaths if "produce" in str(fate.dies)))
    await speak_while_doomed(services, critics)
    expected = await undisturbed(log, critics, waited=True)
    await ends_as(services, log, critics, expected)
    assert set(services.exits["feedback"]) == {-9}

    assert {feedback_id for feedback_id, _ in expected.letters} == critics.hopeless
    assert {code for _, code in expected.letters} == {"invalid_request", "deadline_exceeded"}
    standing = [j["kind"] for example in expected.examples.values() for j in json.loads(example)["judgements"]]
    print(Counter(standing), Counter(code for _, code in expected.letters), len(services.exits["feedback"]), "deaths")
    assert set(standing) == {"thumb", "rating", "edit", "choice", "report"}
    assert expected.examples.keys() == {response_id_of(TENANT, prompt) for prompt in critics.answers}
    assert not [r async for r in read(log, "example-recorded") if ADDRESS.search(r.value or b"")]


async def speak_while_doomed(services: Family, critics: Critics) -> None:
    """So that it reaches where it is to die."""
    async with asyncio.timeout(30):
        await critics.speak()
        while services.doomed():
            await asyncio.sleep(0.2)
            await critics.speak()
