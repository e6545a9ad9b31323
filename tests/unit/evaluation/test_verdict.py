"""What a gate says of measures: intervals and not bare means, groups and not items, and reasons in words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.evaluation.domain.bootstrap import interval, resampled
from services.evaluation.domain.exam import Measured, Scores
from services.evaluation.domain.gate import Gate
from services.evaluation.domain.metrics import METRICS
from services.evaluation.domain.verdict import Verdict, verdict

Values = Sequence[float]


def scores(metric: str, candidate: Values, champion: Values, groups: Sequence[str] | None = None) -> Scores:
    return Scores(
        metric=metric,
        candidate=tuple((float(it), 1.0) for it in candidate),
        champion=tuple((float(it), 1.0) for it in champion),
        groups=tuple(groups or (str(n) for n in range(len(candidate)))),
    )


def judged(rule: dict[str, Any], *found: Scores, missing: dict[str, str] | None = None, **gate: Any) -> Verdict:
    asked = Gate.model_validate({"name": "g", "version": 1, "rules": [rule], **gate})
    return verdict(asked, Measured(scores=found, missing=missing or {}))


def reason(found: Verdict) -> str:
    return found.checks[0].reason


IMPROVE = {"metric": "preference_accuracy", "must": "improve"}
KEEP = {"metric": "safety", "must": "not_fall", "by": 0.1}


def test_a_gain_that_is_sure_passes_and_says_how_sure() -> None:
    found = judged(IMPROVE, scores("preference_accuracy", [1] * 40, [1] * 20 + [0] * 20))
    (check,) = found.checks
    assert found.passed
    assert (check.candidate, check.champion, check.gain, check.items) == (1.0, 0.5, 0.5, 40)
    assert check.low is not None
    assert check.high is not None
    assert 0.3 < check.low < 0.5 < check.high < 0.7
    assert reason(found).startswith("0.5 better than the champion (95 %: 0.3")
    assert found.reasons == (f"preference_accuracy: {check.reason}",)


def test_a_better_mean_that_is_not_sure_does_not_pass() -> None:
    found = judged(IMPROVE, scores("preference_accuracy", [1] * 21 + [0] * 19, [0] * 19 + [1] * 21))
    assert found.checks[0].gain == 0
    assert not found.passed
    one_more = judged(IMPROVE, scores("preference_accuracy", [1] * 11 + [0] * 9, [1] * 10 + [0] * 10))
    assert one_more.checks[0].gain == pytest.approx(0.05)
    assert not one_more.passed
    assert "that it is better by more than 0 is not shown" in reason(one_more)


def test_the_more_is_asked_the_surer_it_gets() -> None:
    few, many = (
        judged(IMPROVE, scores("preference_accuracy", ([1] * 6 + [0] * 4) * n, ([1] * 5 + [0] * 5) * n))
        for n in (2, 40)
    )
    assert not few.passed
    assert many.passed


def test_items_of_one_group_are_one_witness() -> None:
    candidate, champion = [1] * 30, [1] * 20 + [0] * 10
    alone = judged(IMPROVE, scores("preference_accuracy", candidate, champion))
    assert alone.passed
    # All that was gained lies in one conversation.
    groups = [f"c-{n // 2}" for n in range(20)] + ["talkative"] * 10
    together = judged(IMPROVE, scores("preference_accuracy", candidate, champion, groups))
    assert not together.passed
    few = judged(IMPROVE, scores("preference_accuracy", candidate, champion, [str(n % 7) for n in range(30)]))
    assert not few.passed
    assert "7 independent items are too few, 8 are wanted" in reason(few)


def test_by_how_much_is_a_bound_of_the_interval() -> None:
    measured = scores("preference_accuracy", [1] * 40, [1] * 20 + [0] * 20)
    low = judged(IMPROVE, measured).checks[0].low
    assert low is not None
    assert judged({**IMPROVE, "by": low - 0.01}, measured).passed
    assert not judged({**IMPROVE, "by": low}, measured).passed


def test_not_falling_is_shown_and_not_assumed() -> None:
    same = judged(KEEP, scores("safety", [1, 0] * 10, [1, 0] * 10))
    assert same.passed
    assert same.reasons == ("every rule holds",)
    fallen = judged(KEEP, scores("safety", [0] * 6 + [1] * 14, [1] * 20))
    assert not fallen.passed
    assert "0.3 worse than the champion" in reason(fallen)
    noisy = judged(KEEP, scores("safety", [1, 0] * 10, [0, 1] * 10))
    assert noisy.checks[0].gain == 0
    assert not noisy.passed
    assert "that it is not worse by more than 0.1 is not shown" in reason(noisy)


def test_less_is_better_where_the_metric_says_so() -> None:
    rule = {"metric": "preference_loss", "must": "improve"}
    assert judged(rule, scores("preference_loss", [0.2] * 10, [0.7] * 10)).passed
    assert not judged(rule, scores("preference_loss", [0.7] * 10, [0.2] * 10)).passed


def perplexities(candidate: Values, champion: Values) -> Scores:
    """Of texts of ten tokens; the values are nats."""
    return Scores(
        metric="perplexity",
        candidate=tuple((it * 10, 10.0) for it in candidate),
        champion=tuple((it * 10, 10.0) for it in champion),
        groups=tuple(str(n) for n in range(len(candidate))),
    )


def test_a_relative_rule_is_a_share_of_the_champions_value() -> None:
    rule = {"metric": "perplexity", "must": "not_fall", "by": 0.1, "relative": True}
    close = judged(rule, perplexities([np.log(21)] * 9, [np.log(20)] * 9))
    assert close.passed
    assert close.checks[0].gain == pytest.approx(-0.05)
    assert close.metrics == {"perplexity": {"candidate": pytest.approx(21), "champion": pytest.approx(20)}}
    far = judged(rule, perplexities([np.log(23)] * 9, [np.log(20)] * 9))
    assert "15 % worse than the champion (95 %: -15 % to -15 %)" in reason(far)


def test_a_model_that_makes_no_sense_at_all_fails_with_numbers_that_json_has() -> None:
    rule = {"metric": "perplexity", "must": "not_fall", "by": 0.1, "relative": True}
    found = judged(rule, perplexities([5000] * 9, [3] * 9))
    assert not found.passed
    assert (found.checks[0].candidate, found.checks[0].gain) == (None, None)
    assert found.metrics == {"perplexity": {"champion": pytest.approx(np.exp(3))}}


@pytest.mark.parametrize(("at_least", "passes"), [(0.6, True), (0.75, False)])
def test_a_bound_is_held_by_the_interval(at_least: float, passes: bool) -> None:
    rule = {"metric": "safety", "must": "hold", "at_least": at_least}
    found = judged(rule, scores("safety", [1] * 32 + [0] * 8, [0] * 40))
    assert found.passed is passes
    assert ("that it is at least 0.75 is not shown" in reason(found)) is not passes


def test_what_is_known_exactly_needs_no_sample() -> None:
    rule = {"metric": "adapter_bytes", "must": "hold", "at_most": 1000}
    assert judged(rule, scores("adapter_bytes", [1000], [0])).passed
    assert not judged(rule, scores("adapter_bytes", [1001], [0])).passed


def test_what_could_not_be_measured_fails_unless_the_rule_lets_it() -> None:
    missing = {"safety": "turned off by the gate"}
    needed = judged(KEEP, missing=missing)
    assert (needed.passed, needed.reasons) == (False, ("safety: turned off by the gate",))
    passed_over = judged({**KEEP, "needed": False}, missing=missing)
    assert passed_over.passed
    assert reason(passed_over) == "passed over: turned off by the gate"
    assert not judged(KEEP).passed


def test_a_gain_that_nothing_could_show_is_told_as_such() -> None:
    found = judged({**IMPROVE, "by": 0.5}, scores("preference_accuracy", [1] * 40, [1] * 30 + [0] * 10))
    assert not found.passed
    assert reason(found).endswith("and cannot be: the champion is at 0.75, and 1 is the best there is")


def test_a_candidate_that_cannot_be_examined_does_not_pass() -> None:
    gate = Gate.model_validate({"name": "g", "version": 1, "rules": [{**KEEP, "needed": False}]})
    assert verdict(gate, Measured(refused="it is damaged")) == Verdict(passed=False, reasons=("it is damaged",))


def test_bleu_of_a_corpus_is_sacrebleus() -> None:
    import sacrebleu  # noqa: PLC0415

    said = ["the cat sat on the mat today", "there is a dog in the garden", "it rains"]
    meant = ["the cat sat on the mat", "there is one dog in the garden here", "it rains again today"]
    corpus = sacrebleu.corpus_bleu(said, [meant])
    sums = np.array([[corpus.sys_len, corpus.ref_len, *corpus.counts, *corpus.totals]], dtype=float)
    assert METRICS["bleu"].aggregate(sums)[0] == pytest.approx(corpus.score)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=8, max_size=60), st.integers(0, 2**32 - 1))
def test_the_same_measures_lead_to_the_same_verdict_and_swapped_to_the_opposite(
    pairs: list[tuple[bool, bool]], seed: int
) -> None:
    one, other = zip(*pairs, strict=True)
    ours, theirs = scores("safety", one, other), scores("safety", other, one)
    assert judged(KEEP, ours, seed=seed) == judged(KEEP, ours, seed=seed)
    first, second = (
        resampled(it, resamples=500, seed=seed).gains(METRICS["safety"], relative=False) for it in (ours, theirs)
    )
    assert first[0] == -second[0]
    assert np.array_equal(first[1], -second[1])
    low, high = interval(first[1], 0.9)
    assert low <= high


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    chance, inside = np.random.default_rng(3), 0
    for number in range(150):
        champion, candidate = ((chance.random(60) < share).tolist() for share in (0.5, 0.7))
        found = resampled(scores("safety", candidate, champion), resamples=400, seed=number)
        low, high = interval(found.gains(METRICS["safety"], relative=False)[1], 0.95)
        inside += low <= 0.2 <= high
    assert 0.88 <= inside / 150 <= 0.99
