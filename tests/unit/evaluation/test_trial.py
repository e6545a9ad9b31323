"""What counts for and against a candidate on its share, and what is decided by it."""

import itertools
from typing import Any

import pytest

from libs.model_registry import Turn, under_trial
from services.evaluation.domain.sequential import Tally
from services.evaluation.domain.trial import Seen, Trial
from services.evaluation.domain.watching import check, decide
from tests.unit.evaluation.trials import NEW, NOON, OLD, judged, minutes, outcome, plan, thumb, turn

ONE = (turn(4, 0.1),)
TWO = (*ONE, turn(5, 0.5, minutes(2)))
CLEARLY = 1.25


@pytest.fixture
def trial() -> Trial:
    return Trial(model=NEW, champion=OLD)


def tallies(seen: Seen, measure: str) -> tuple[Tally, Tally]:
    sides: Any = getattr(seen, measure)
    return sides["candidate"].tally, sides["champion"].tally


def test_answers_count_for_the_adapter_that_gave_them_at_the_step_they_were_given_at(trial: Trial) -> None:
    for told in (
        outcome("before", NEW, -minutes(1)),
        outcome("a", NEW),
        outcome("b", OLD),
        outcome("c", OLD, refused="unsafe_answer"),
        outcome("d", "third-000000000003"),
        outcome("e", None),
        outcome("f", NEW, minutes(2), refused="unsafe_answer"),
        outcome("g", NEW, refused="cancelled", status="failed"),
        outcome("h", None, refused="unsafe_prompt", model=None),
    ):
        trial.take_outcome(told, TWO, CLEARLY)
    assert tallies(trial.at(4), "refused") == (Tally(0, 1), Tally(1, 2))
    assert tallies(trial.at(5), "refused") == (Tally(1, 1), Tally(0, 0))
    assert [trial.at(revision).conversations for revision in (4, 5)] == [1, 1]


def test_a_conversation_is_one_witness_at_each_step(trial: Trial) -> None:
    for number in range(3):
        trial.take_outcome(outcome(f"p-{number}", NEW, refused="unsafe_answer", conversation="c"), TWO, CLEARLY)
        trial.take_outcome(outcome(f"q-{number}", OLD, conversation="other"), TWO, CLEARLY)
    trial.take_outcome(outcome("again", NEW, minutes(3), conversation="c"), TWO, CLEARLY)
    assert tallies(trial.at(4), "refused") == (Tally(1, 1), Tally(0, 1))
    assert tallies(trial.at(5), "refused")[0] == Tally(0, 1)
    # The same names at another tenant's are other people.
    trial.take_outcome(outcome("p-9", NEW, conversation="c", tenant="acme"), ONE, CLEARLY)
    assert tallies(trial.at(4), "refused")[0] == Tally(1, 2)


def test_without_a_champion_the_bare_base_is_told_from_other_models() -> None:
    trial = Trial(model=NEW, champion=None)
    turns = (turn(4, 0.1, champion=None, previous=None),)
    other: Any = {"model": {"name": "large", "adapter": None}}
    for told in (
        outcome("early", None),
        outcome("a", NEW),
        outcome("b", None),
        outcome("c", None, **other),
    ):
        trial.take_outcome(told, turns, CLEARLY)
    assert tallies(trial.at(4), "refused") == (Tally(0, 1), Tally(0, 1))


def test_answers_are_compared_with_the_ones_before_them(trial: Trial) -> None:
    numbers = itertools.count()
    for adapter, took in (
        *((OLD, 100.0), (NEW, 200.0)),  # clearly slower
        *((NEW, 100.0), (OLD, 110.0)),  # as fast
        *((OLD, 300.0), (OLD, 100.0), (NEW, 10.0)),  # clearly faster than the last one
        *((NEW, 500.0), (NEW, 100.0), (OLD, 50.0)),  # clearly slower
        (OLD, 1.0),
    ):
        trial.take_outcome(outcome(f"p-{next(numbers)}", adapter, took=took), ONE, CLEARLY)
    assert tallies(trial.at(4), "slower")[0] == Tally(2, 3)
    # What no model wrote, and what has no time, is no pair.
    for told in (
        outcome("cached", NEW, took=9000.0, cached=True),
        outcome("untimed", NEW, took=None),
        outcome("refused", NEW, took=9000.0, refused="unsafe_answer"),
    ):
        trial.take_outcome(told, ONE, CLEARLY)
    assert tallies(trial.at(4), "slower")[0] == Tally(2, 3)
    trial.take_outcome(outcome("last", NEW, took=2.0), ONE, CLEARLY)
    assert tallies(trial.at(4), "slower")[0] == Tally(3, 4)


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ([thumb(False)], Tally(1, 1)),
        ([thumb(True)], Tally(0, 1)),
        ([{"kind": "rating", "value": 2}], Tally(1, 1)),
        ([{"kind": "rating", "value": 3}], Tally(0, 0)),
        ([{"kind": "rating", "value": 4}], Tally(0, 1)),
        ([{"kind": "edit", "value": "better"}], Tally(1, 1)),
        ([{"kind": "report", "value": "harmful"}], Tally(1, 1)),
        ([{"kind": "choice", "value": "resp_other"}], Tally(0, 1)),
        ([], Tally(0, 0)),
        ([thumb(False), thumb(True, created_at=NOON + minutes(1))], Tally(0, 1)),
        ([thumb(False, created_at=NOON + minutes(1)), thumb(True)], Tally(1, 1)),
    ],
)
def test_the_last_judgement_of_an_answer_counts(trial: Trial, said: list[dict[str, Any]], counts: Tally) -> None:
    trial.take_example(judged("a", NEW, said), ONE)
    assert tallies(trial.at(4), "disliked") == (counts, Tally(0, 0))


def test_a_person_and_a_conversation_are_heard_once_at_each_step(trial: Trial) -> None:
    for prompt in ("a", "b", "c"):
        trial.take_example(judged(prompt, NEW, [thumb(False, subject="angry")]), TWO)
        trial.take_example(judged("d", NEW, [thumb(False)]), TWO)
        trial.take_example(judged(prompt, OLD, [thumb(True, subject="angry")]), TWO)
    trial.take_example(judged("e", NEW, [thumb(False, subject="angry")], minutes(3)), TWO)
    trial.take_example(judged("f", NEW, [thumb(False)], -minutes(3)), TWO)
    assert tallies(trial.at(4), "disliked") == (Tally(2, 2), Tally(0, 1))
    assert tallies(trial.at(5), "disliked") == (Tally(1, 1), Tally(0, 0))


def test_an_answer_is_in_one_pair_only(trial: Trial) -> None:
    for number, adapter in enumerate((OLD, NEW, OLD)):
        trial.take_outcome(outcome(f"p-{number}", adapter, took=200.0 if adapter == NEW else 100.0), ONE, CLEARLY)
    assert tallies(trial.at(4), "slower")[0] == Tally(1, 1)
    trial.take_outcome(outcome("last", NEW, took=10.0), ONE, CLEARLY)
    assert tallies(trial.at(4), "slower")[0] == Tally(1, 2)


def test_what_is_kept_is_the_same_when_it_is_read_again(trial: Trial) -> None:
    trial.take_outcome(outcome("a", NEW), ONE, CLEARLY)
    trial.take_example(judged("a", OLD, [thumb(False, subject="somebody@example.org")]), ONE)
    trial.positions["response-ready"] = {0: 5, 3: 1}
    told = trial.model_dump_json()
    again = Trial.model_validate_json(told)
    assert again == trial
    assert "somebody" not in told
    again.take_outcome(outcome("a", NEW), ONE, CLEARLY)
    assert tallies(again.at(4), "refused")[0] == Tally(0, 1)


def fed(trial: Trial, revision: int, *, good: int = 0, bad: int = 0, others: int = 200) -> Trial:
    """So many conversations at a step."""
    sides = trial.at(revision).refused
    sides["candidate"].bad, sides["candidate"].of = bad, good + bad
    sides["champion"].of = others
    return trial


def test_a_share_rises_when_time_and_conversations_are_enough(trial: Trial) -> None:
    fed(trial, 4, good=4)
    assert decide(plan(), ONE, trial, NOON).reason == "4 of 5 conversations and 0.0 of 1 minutes at 0.1"
    assert decide(plan(), ONE, trial, NOON + minutes(1)).reason == "4 of 5 conversations at 0.1"
    fed(trial, 4, good=5)
    assert decide(plan(), ONE, trial, NOON).next == "wait"
    found = decide(plan(), ONE, trial, NOON + minutes(1))
    assert (found.next, found.share) == ("raise", 0.5)
    # The next step counts its own conversations and minutes.
    assert decide(plan(), TWO, trial, NOON + minutes(2)).next == "wait"


def test_the_last_step_is_taken_when_what_must_be_shown_has_been(trial: Trial) -> None:
    fed(fed(trial, 4, good=5), 5, good=10)
    late = NOON + minutes(9)
    waits = decide(plan(), TWO, trial, late)
    assert (waits.next, waits.reason) == ("wait", "not shown yet: refused or failed answers")
    assert waits.checks[0].state == "open"
    lenient = plan(rules=[{"measure": "refused", "by": 0.2, "shown": False}])
    assert (decide(lenient, TWO, trial, late).next, decide(lenient, TWO, trial, late).share) == ("raise", 1.0)
    fed(trial, 5, good=60)
    shown = decide(plan(), TWO, trial, late)
    assert (shown.next, shown.share, shown.checks[0].state) == ("raise", 1.0, "held")


def test_what_is_shown_to_be_worse_is_rolled_back_at_once(trial: Trial) -> None:
    fed(trial, 4, good=10, bad=30)
    found = decide(plan(), ONE, trial, NOON)
    assert (found.next, found.checks[0].state) == ("roll_back", "broken")
    assert found.reason.startswith("more refused or failed answers: 75.0% against 0.0% (40 items), at least ")
    # Also by evidence of a step that is over, and whatever else holds.
    more = plan(rules=[{"measure": "refused", "by": 0.2}, {"measure": "slower", "by": 0.1}])
    assert decide(more, TWO, trial, NOON).next == "roll_back"


def test_patience_ends(trial: Trial) -> None:
    fed(fed(trial, 4, good=5), 5, good=10)
    impatient = plan(patience_hours=1)
    assert decide(impatient, TWO, trial, NOON + minutes(60)).next == "wait"
    found = decide(impatient, TWO, trial, NOON + minutes(61))
    assert (found.next, found.reason) == ("roll_back", "1 hours are over; not shown yet: refused or failed answers")
    alone = decide(impatient, ONE, Trial(model=NEW, champion=OLD), NOON + minutes(61))
    assert alone.reason == "1 hours are over; 0 of 5 conversations at 0.1"


def test_slower_is_counted_from_one_half(trial: Trial) -> None:
    seen = trial.at(4)
    seen.slower["candidate"].bad, seen.slower["candidate"].of = 40, 40
    (rule,) = plan(rules=[{"measure": "slower", "by": 0.2}]).rules
    found = check(rule, plan(), [seen])
    assert (found.state, found.candidate, found.champion, found.high) == ("broken", 1.0, 0.5, 0.5)


def test_a_trial_is_the_turns_that_gave_one_candidate_its_shares() -> None:
    def revisions(*turns: Turn) -> list[int]:
        return [it.revision for it in under_trial(turns)]

    by_hand = turn(3, 0.3, canary=None)
    assert revisions() == []
    assert revisions(turn(1, 1.0, canary=None), *TWO) == [4, 5]
    assert revisions(*TWO, turn(6, 1.0, canary=None)) == []
    assert revisions(by_hand, *ONE) == [4]
    assert revisions(*ONE, turn(5, 0.3, canary=None)) == []
    assert revisions(turn(2, 0.1, model=OLD), turn(3, 0.5, model=OLD), *ONE) == [4]
    rolled_back = Turn(
        revision=6, action="rollback", request_id="q", model=OLD, rolled_back=NEW, at=NOON,
    )  # fmt: skip
    assert revisions(*TWO, rolled_back) == []
    assert revisions(*TWO, rolled_back, turn(7, 0.1)) == [7]
