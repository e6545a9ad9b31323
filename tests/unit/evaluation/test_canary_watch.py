"""A candidate on its share, watched from the log: the share rises to all, or ends; whatever dies meanwhile."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from opentelemetry.metrics import NoOpMeter

from libs.bus import Outgoing
from libs.telemetry import Metrics
from schemas.evaluation import CanaryProgressed, ModelPromoted, ModelRolledBack, PromotionRequested
from services.evaluation.adapters.watch import FOLDER, Watch
from services.evaluation.domain.trial import Trial
from tests.unit.evaluation.places import NOON, Place
from tests.unit.evaluation.trials import judged, minutes, outcome, plan, thumb

PLAN = plan(
    steps=[{"share": share, "minutes": 1, "conversations": 20} for share in (0.1, 0.5)],
    rules=[{"measure": "refused", "by": 0.2}, {"measure": "disliked", "by": 0.3, "shown": False}],
)


@pytest.fixture
def place(place: Place) -> Place:
    place.canaries = {"default": PLAN}
    return place


def watch(place: Place) -> Watch:
    """As after a start."""
    metrics = Metrics(NoOpMeter("test"))
    return Watch(
        place.bus, place.champions, place.folder / FOLDER, place.canaries, lambda: place.now, metrics,
        look=timedelta(hours=1), progress_every=timedelta(seconds=10),
    )  # fmt: skip


async def answers(place: Place, count: int, *, bad: int = 0, disliked: int = 0, name: str = "p") -> None:
    """So many of the candidate, and twice as many of the champion, `bad` of the candidate's refused."""
    for number in range(count):
        refused = "unsafe_answer" if number < bad else None
        after = place.now - NOON
        await place.say(outcome(f"{name}-{number}", place.a, after, refused=refused))
        for other in ("x", "y"):
            await place.say(outcome(f"{name}-{number}{other}", place.b, after))
        if disliked:
            await place.say(judged(f"{name}-{number}", place.a, [thumb(number >= disliked)], after))
            await place.say(judged(f"{name}-{number}x", place.b, [thumb(True)], after))


async def begun(place: Place) -> None:
    await place.change("promote", "q-1", model=place.b, force=True)
    await place.change("promote", "q-2", model=place.a, force=True, canary="default")
    await place.until(ModelPromoted, 2)


async def test_shares_rise_to_all_conversations(place: Place) -> None:
    watching = watch(place)
    async with place.serving():
        await watching.look()
        await begun(place)
        for step in range(1, 3):
            await answers(place, 60, name=f"s{step}")
            await watching.look()
            assert len(place.said(ModelPromoted)) == step + 1
            place.now += minutes(1)
            await watching.look()
            await place.until(ModelPromoted, step + 2)
        # It is over: what comes now is no business of the trial.
        await answers(place, 30, bad=30, name="later")
        await watching.look()
    assert [(it.share, it.canary) for it in place.said(ModelPromoted)] == [
        (1.0, None), (0.1, "default"), (0.5, "default"), (1.0, None),
    ]  # fmt: skip
    assert place.champions.serving().champion == place.a
    assert place.said(ModelRolledBack) == []
    progress = place.said(CanaryProgressed)
    assert [it.next for it in progress] == ["wait", "raise", "raise"]
    assert [it.conversations for it in progress] == [60] * 3
    assert progress[-1].plan == PLAN.label
    assert {it.measure: it.state for it in progress[-1].checks} == {"refused": "held", "disliked": "open"}


@pytest.mark.parametrize("measure", ["refused", "disliked"])
async def test_a_candidate_that_disappoints_is_rolled_back_at_once(place: Place, measure: str) -> None:
    watching = watch(place)
    async with place.serving():
        await begun(place)
        await watching.look()
        # Before its time is over, and before its conversations are enough.
        await answers(place, 19, bad=18 * (measure == "refused"), disliked=18 * (measure == "disliked"))
        await watching.look()
        await place.until(ModelRolledBack, 1)
        await watching.look()
    (back,) = place.said(ModelRolledBack)
    assert (back.rolled_back, back.model, back.request_id) == (place.a, place.b, "canary-2")
    assert ("judged badly" if measure == "disliked" else "refused or failed") in back.reason
    assert len(place.said(PromotionRequested)) == 3


async def test_who_dies_and_comes_back_counts_nothing_twice_and_misses_nothing(place: Place) -> None:
    async with place.serving():
        await begun(place)
        for number in range(5):
            # Each from what the one before it has kept, and nothing else; none of them is told that it ends.
            await answers(place, 4, name=f"n{number}")
            await watch(place).look()
        (file,) = (place.folder / FOLDER).iterdir()
        seen = Trial.model_validate_json(file.read_bytes()).at(2)
        assert (seen.refused["candidate"].of, seen.refused["champion"].of) == (20, 40)
        place.now += minutes(1)
        for _ in range(3):
            # What has been wished for is known, or it is the same wish.
            file_before = file.read_bytes()
            await watch(place).look()
            file.write_bytes(file_before)
        await place.until(ModelPromoted, 3)
        async with asyncio.timeout(10):
            while len(place.champions.turns()) < 3:
                await place.bus.arrival(0.01)
    assert {it.request_id for it in place.said(PromotionRequested)} == {"q-1", "q-2", "canary-2"}
    assert [turn.share for turn in place.champions.turns()] == [1.0, 0.1, 0.5]


async def test_a_file_that_is_lost_is_counted_again_from_the_log(place: Place) -> None:
    async with place.serving():
        await answers(place, 7, name="before")
        place.now += minutes(1)
        await begun(place)
        await answers(place, 9)
        await watch(place).look()
        (file,) = (place.folder / FOLDER).iterdir()
        before = Trial.model_validate_json(file.read_bytes())
        file.unlink()
        await watch(place).look()
    assert Trial.model_validate_json(file.read_bytes()) == before
    assert before.at(2).conversations == 9


async def test_bytes_that_are_no_events_are_dead_letters_and_stop_nothing(place: Place) -> None:
    async with place.serving():
        await begun(place)
        await answers(place, 5)
        for topic in ("response-ready", "example-recorded"):
            await place.bus.append(Outgoing(topic, b"k", b"\xff{"))
        await place.bus.append(Outgoing("example-recorded", b"k", None))
        await answers(place, 5, name="more")
        await watch(place).look()
    (file,) = (place.folder / FOLDER).iterdir()
    assert Trial.model_validate_json(file.read_bytes()).at(2).conversations == 10
    for topic in ("response-ready", "example-recorded"):
        assert len(place.bus.records(f"{topic}-dlq")) == 1


async def test_an_operator_has_the_last_word(place: Place) -> None:
    watching = watch(place)
    async with place.serving():
        await begun(place)
        await answers(place, 30)
        place.now += minutes(1)
        # The watch looks at what served a moment ago, and wishes for more of it.
        await place.change("rollback", "mine")
        await watching.look()
        await place.until(ModelRolledBack, 1)
        await watching.look()
        await watching.look()
    assert place.champions.serving().challenger is None
    assert all("meant for revision 2" in it for it in place.refusals(PromotionRequested))


async def test_a_candidate_whose_next_share_does_not_come_is_rolled_back(place: Place) -> None:
    watching = watch(place)
    async with place.serving():
        await begun(place)
        await answers(place, 30)
        # Its weights are gone: nobody can be promoted.
        (place.adapters.folder / place.a / "adapter_model.safetensors").unlink()
        place.now += minutes(1)
        await watching.look()
        await place.until_refused(PromotionRequested, 1)
        await watching.look()
        assert len(place.said(PromotionRequested)) == 3
        place.now += minutes(2)
        await watching.look()
        await place.until(ModelRolledBack, 1)
        await watching.look()
    (back,) = place.said(ModelRolledBack)
    assert (back.rolled_back, back.request_id) == (place.a, "canary-2-over")
    assert "did not change within 60 s: see the dead letters" in back.reason


async def test_a_second_trial_begins_anew(place: Place) -> None:
    watching = watch(place)
    async with place.serving():
        await begun(place)
        await answers(place, 7)
        await watching.look()
        await place.change("rollback", "mine")
        place.now += minutes(1)
        await place.change("promote", "q-3", model=place.a, force=True, canary="default")
        await place.until(ModelPromoted, 3)
        await answers(place, 3, name="second")
        await watching.look()
    files = sorted((place.folder / FOLDER).iterdir())
    seen = [Trial.model_validate_json(file.read_bytes()).steps for file in files]
    assert [{revision: step.conversations for revision, step in it.items()} for it in seen] == [{2: 7}, {4: 3}]


async def test_a_plan_that_is_gone_leaves_the_share_as_it_is(place: Place, tmp_path: Path) -> None:
    async with place.serving():
        await begun(place)
        place.canaries = {}
        await answers(place, 30, bad=30)
        watching = watch(place)
        await watching.look()
        await watching.look()
    assert place.said(CanaryProgressed) == []
    assert place.champions.serving().share == 0.1


async def test_while_nothing_is_tried_nothing_is_read(place: Place) -> None:
    async with place.serving():
        await answers(place, 3)
        await watch(place).look()
    assert not (place.folder / FOLDER).exists()
