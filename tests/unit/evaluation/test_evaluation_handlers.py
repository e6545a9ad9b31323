"""Adapters are examined, promoted and rolled back, through a stage, with an examiner that takes no time."""

from libs.bus import Retryable
from libs.model_registry.adapters import WEIGHTS
from schemas.evaluation import (
    EvaluationProgressed,
    EvaluationRequested,
    ModelEvaluated,
    ModelPromoted,
    ModelRolledBack,
    PromotionRequested,
)
from schemas.training import ModelTrained
from services.evaluation.domain.exam import Measured, evaluation_id_of
from services.evaluation.domain.gate import Gate
from tests.unit.evaluation.places import GATES, NOON, Place


def trained(model: str) -> ModelTrained:
    return ModelTrained(
        model=model, version="1", run_id=f"run-{model}", request_id="q", recipe="mine@1-a", method="dpo", base="smol",
        dataset="d" * 64, rows=40, replayed=0, seed=7, steps=9, metrics={}, trained_at=NOON,
    )  # fmt: skip


async def test_a_trained_adapter_is_examined_passes_and_serves(place: Place) -> None:
    await place.say(trained(place.a))
    async with place.serving():
        await place.until(ModelPromoted, 1)
    (request,), (said,), (wish,), (promoted,) = (
        place.said(it) for it in (EvaluationRequested, ModelEvaluated, PromotionRequested, ModelPromoted)
    )
    assert (request.request_id, request.reason) == (f"trained-run-{place.a}", "trained")
    assert (said.model, said.champion, said.passed, said.gate) == (place.a, None, True, GATES["default"].label)
    assert said.metrics == {"preference_accuracy": {"candidate": 1.0, "champion": 0.5}}
    assert (said.dataset, said.seconds, said.evaluated_at) == ("d" * 64, 1.5, NOON)
    assert wish.evaluation == said.evaluation_id == evaluation_id_of(request.request_id)
    assert promoted == ModelPromoted(
        revision=1, model=place.a, share=1.0, evaluation=said.evaluation_id, request_id=wish.request_id,
        reason=f"it passed {said.gate}", promoted_at=NOON,
    )  # fmt: skip
    assert place.champions.serving().champion == place.a
    assert [it.step for it in place.said(EvaluationProgressed)] == [0, 3]
    report = (place.folder / "reports" / said.evaluation_id / "report.md").read_text()
    assert report.startswith(f"# {place.a} passed")


async def test_a_failure_changes_nothing_in_service(place: Place) -> None:
    place.examiner.bad = {place.b}
    await place.say(trained(place.a))
    async with place.serving():
        await place.until(ModelPromoted, 1)
        await place.say(trained(place.b))
        await place.until(ModelEvaluated, 2)
        # Whatever would have come of it would stand before this.
        await place.change("rollback", "nobody", model=place.b)
        await place.until_refused(PromotionRequested, 1)
    second = place.said(ModelEvaluated)[1]
    assert (second.passed, second.champion) == (False, place.a)
    assert "worse than the champion" in second.reasons[0]
    assert len(place.said(ModelPromoted)) == 1
    assert place.champions.serving().champion == place.a


async def test_the_same_request_again_is_the_same_examination_and_the_same_promotion(place: Place) -> None:
    async with place.serving():
        await place.evaluate(place.a, "q-1")
        await place.until(ModelPromoted, 1)
        await place.evaluate(place.a, "q-1")
        await place.until(ModelPromoted, 2)
    first, second = place.said(ModelPromoted)
    assert first == second
    assert len(place.examiner.exams) == 1
    assert len(place.champions.turns()) == 1


async def test_who_only_wants_to_know_promotes_nothing(place: Place) -> None:
    async with place.serving():
        await place.evaluate(place.a, "q-1", promote=False, gate="strict", dataset="abcd")
        await place.until(ModelEvaluated, 1)
        assert place.said(ModelEvaluated)[0].gate == GATES["strict"].label
        assert place.examiner.exams[0].dataset == "abcd"
        # It has passed, so that a person may promote it.
        await place.change("promote", "mine", model=place.a, share=0.25, reason="try it")
        await place.until(ModelPromoted, 1)
    (promoted,) = place.said(ModelPromoted)
    assert (promoted.share, promoted.champion, promoted.reason) == (0.25, None, "try it")
    assert (place.champions.serving().champion, place.champions.serving().challenger) == (None, place.a)


async def test_what_cannot_be_examined_is_a_dead_letter_with_the_reason(place: Place) -> None:
    place.examiner.hurdles = [Measured(unknown='no adapter "x" in /models')]
    async with place.serving():
        await place.evaluate("x", "q-1")
        await place.until_refused(EvaluationRequested, 1)
        await place.evaluate(place.a, "q-2", gate="lax")
        await place.until_refused(EvaluationRequested, 2)
    assert sorted(place.refusals(EvaluationRequested)) == [
        'no adapter "x" in /models',
        'no gate "lax": there are default, strict',
    ]
    assert place.said(ModelEvaluated) == []


async def test_a_damaged_candidate_fails_and_an_examination_that_has_to_wait_is_the_same_one(place: Place) -> None:
    place.examiner.hurdles = [Retryable("the registry is away"), Measured(refused="its weights hold no numbers")]
    async with place.serving():
        await place.evaluate(place.a, "q-1")
        await place.until(ModelEvaluated, 1)
    first, second = place.examiner.exams
    assert first == second
    (said,) = place.said(ModelEvaluated)
    assert (said.passed, said.reasons, said.checks) == (False, ("its weights hold no numbers",), ())


async def test_the_champion_is_not_examined_against_itself(place: Place) -> None:
    async with place.serving():
        await place.evaluate(place.a, "q-1")
        await place.until(ModelPromoted, 1)
        await place.evaluate(place.a, "q-2")
        await place.until(ModelEvaluated, 2)
    assert place.said(ModelEvaluated)[1].reasons == ("it serves already: there is nothing to compare it with",)
    assert len(place.examiner.exams) == 1


async def test_who_was_compared_with_another_champion_is_examined_again(place: Place) -> None:
    async with place.serving():
        for model in (place.a, place.b):
            await place.evaluate(model, f"q-{model}", promote=False)
        await place.until(ModelEvaluated, 2)
        await place.change("promote", "first", model=place.a)
        await place.until(ModelPromoted, 1)
        await place.change("promote", "second", model=place.b)
        await place.until(ModelPromoted, 2)
    (again,) = [it for it in place.said(EvaluationRequested) if it.request_id == "again-second"]
    assert (again.model, again.reason) == (place.b, "champion-changed")
    (third,) = [it for it in place.said(ModelEvaluated) if it.request_id == "again-second"]
    assert (third.model, third.champion) == (place.b, place.a)
    assert [(it.model, it.previous) for it in place.said(ModelPromoted)] == [(place.a, None), (place.b, place.a)]


async def test_rollbacks_bring_back_what_served_before_down_to_the_bare_base(place: Place) -> None:
    async with place.serving():
        for number, model in enumerate((place.a, place.b, place.c), start=1):
            await place.change("promote", f"p-{number}", model=model, force=True, share=0.1 if model == place.c else 1)
        for number in range(3):
            await place.change("rollback", f"r-{number}", reason="it disappoints")
        # Asked twice, done once.
        await place.change("rollback", "r-0", reason="it disappoints")
        await place.change("rollback", "r-3")
        await place.until_refused(PromotionRequested, 1)
    backs = place.said(ModelRolledBack)
    assert [(it.rolled_back, it.model, it.revision) for it in backs] == [
        (place.c, place.b, 4), (place.b, place.a, 5), (place.a, None, 6), (place.c, place.b, 4),
    ]  # fmt: skip
    assert {it.reason for it in backs} == {"it disappoints"}
    assert place.refusals(PromotionRequested) == [
        "nothing was promoted: the bare base serves, and there is nothing before it"
    ]
    assert [it.evaluation for it in place.said(ModelPromoted)] == [None] * 3


async def test_what_must_not_serve_is_refused_with_the_remedy(place: Place) -> None:
    place.examiner.bad = {place.b}
    with (place.adapters.folder / place.c / WEIGHTS).open("ab") as file:
        file.write(b"more")
    async with place.serving():
        await place.evaluate(place.b, "q-1")
        await place.until(ModelEvaluated, 1)
        await place.change("promote", "1", model=place.a)
        await place.change("promote", "2", model=place.b)
        await place.change("promote", "3", model=place.c, force=True)
        await place.change("promote", "4", model="mine-000000000000", force=True)
        await place.change("promote", "5", model=place.a, force=True)
        await place.change("promote", "6", model=place.a, force=True)
        await place.change("promote", "7", model=place.b, force=True, share=0.5)
        await place.change("promote", "8", model=place.b, force=True, share=0.5)
        await place.change("rollback", "9", model=place.a)
        await place.until_refused(PromotionRequested, 7)
    found = place.refusals(PromotionRequested)
    beginnings = (
        f"{place.a} has not been examined: tailrace evaluate {place.a}, or tailrace models promote {place.a} --force",
        f"{place.b} has not passed (preference_accuracy: ",
        f"{place.c} is damaged: ",
        'no adapter "mine-000000000000" in ',
        f"{place.a} serves already",
        f"{place.b} serves 0.5 of the conversations already",
        f"{place.a} is not what was promoted last: {place.b} is",
    )
    for said, beginning in zip(found, beginnings, strict=True):
        assert said.startswith(beginning)
    assert [it.model for it in place.said(ModelPromoted)] == [place.a, place.b]


async def test_trained_adapters_wait_to_be_asked_for_where_an_operator_wants_that(place: Place) -> None:
    place.by_itself = False
    async with place.serving():
        await place.say(trained(place.a))
        await place.evaluate(place.b, "q-1")
        await place.until(ModelEvaluated, 1)
    assert [it.model for it in place.said(ModelEvaluated)] == [place.b]
    assert len(place.said(EvaluationRequested)) == 1


async def test_what_passes_a_gate_with_a_plan_begins_with_its_first_share(place: Place) -> None:
    rules = [{"metric": "preference_accuracy", "must": "improve"}]
    place.gates["careful"] = Gate.model_validate({"name": "careful", "version": 1, "canary": "default", "rules": rules})
    async with place.serving():
        await place.evaluate(place.a, "q-1", gate="careful")
        await place.until(ModelPromoted, 1)
        # The same verdict again is the same wish.
        await place.evaluate(place.a, "q-1", gate="careful")
        await place.until(ModelPromoted, 2)
    first, second = place.said(ModelPromoted)
    assert (first.share, first.canary, first.champion, first.evaluation is not None) == (0.05, "default", None, True)
    assert first == second
    serving = place.champions.serving()
    assert (serving.champion, serving.challenger, serving.share, serving.canary) == (None, place.a, 0.05, "default")


async def test_wishes_for_a_canary_that_cannot_come_true_are_refused_with_the_reason(place: Place) -> None:
    async with place.serving():
        await place.change("promote", "1", model=place.a, force=True, canary="slow")
        await place.change("promote", "2", model=place.a, force=True, canary="default", share=0.3)
        # Somebody else while it is being tried; whoever insists may.
        await place.evaluate(place.b, "q-1", promote=False)
        await place.until(ModelEvaluated, 1)
        await place.change("promote", "3", model=place.b)
        await place.change("promote", "4", model=place.a, force=True, canary="default", share=0.3)
        # Meant for what served before.
        await place.change("promote", "5", model=place.a, force=True, share=0.5, revision=0)
        await place.change("rollback", "6", model=place.a, revision=7)
        await place.change("promote", "7", model=place.b, force=True)
        await place.until(ModelPromoted, 2)
        await place.change("rollback", "8", revision=2)
        await place.until(ModelRolledBack, 1)
    assert place.refusals(PromotionRequested) == [
        'no canary plan "slow": there are default',
        f"{place.a} is being tried on 30% of the conversations: wait until that is over, roll it back, or insist",
        f"{place.a} serves 0.3 of the conversations already",
        "it was meant for revision 0; 1 serves now",
        "it was meant for revision 7; 1 serves now",
    ]
    first, second = place.said(ModelPromoted)
    assert (first.share, first.canary) == (0.3, "default")
    assert (second.model, second.share, second.canary) == (place.b, 1.0, None)


async def test_a_share_that_somebody_holds_by_hand_may_be_put_under_a_plan_and_back(place: Place) -> None:
    async with place.serving():
        await place.change("promote", "1", model=place.a, force=True, share=0.05)
        await place.change("promote", "2", model=place.a, force=True, share=0.05, canary="default")
        await place.change("promote", "3", model=place.a, force=True, share=0.05)
        await place.until(ModelPromoted, 3)
    assert [it.canary for it in place.said(ModelPromoted)] == [None, "default", None]
    assert place.champions.serving().canary is None
