"""What becomes what: votes, edits, choices and siblings, as TRL reads them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.datasets import Datasets, EmptyDatasetError, Kind, Policy, Published
from schemas.base import Message
from schemas.feedback import ExampleRecorded
from tests.support.examples import RETURNS, START, example, judged

ALL_TRAIN = {"train": 1, "validation": 0, "test": 0}
ANSWER = "Up to fourteen days after it has come."
BETTER = "Within fourteen days, unopened, with the receipt."


def policy(**rules: Any) -> Policy:
    return Policy.model_validate({"name": "test", "version": 1, "splits": ALL_TRAIN, **rules})


@pytest.fixture
def publish(tmp_path: Path) -> "Publish":
    return Publish(tmp_path)


class Publish:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, *examples: ExampleRecorded, **rules: Any) -> Published:
        return Datasets(self._folder).publish(examples, policy(**rules))

    def rows(self, kind: Kind, *examples: ExampleRecorded, **rules: Any) -> list[dict[str, Any]]:
        try:
            return list(self(*examples, **rules).dataset.rows(kind, "train"))
        except EmptyDatasetError:
            return []


def user(text: str = RETURNS) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def assistant(text: str = ANSWER) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


@pytest.mark.parametrize(
    ("kind", "value", "label"),
    [("thumb", True, True), ("thumb", False, False), ("rating", 5, True), ("rating", 4, True), ("rating", 2, False)],
)
def test_a_vote_becomes_a_kto_row(publish: Publish, kind: str, value: bool | int, label: bool) -> None:
    rows = publish.rows("kto", example("r-1", judged(kind, value)))
    assert rows == [{"prompt": user(), "completion": assistant(), "label": label}]


def test_a_rating_in_the_middle_becomes_nothing(publish: Publish) -> None:
    assert publish.rows("kto", example("r-1", judged("rating", 3))) == []


def test_the_policy_sets_the_thresholds_of_ratings(publish: Publish) -> None:
    votes = {"ratings": {"up_from": 5, "down_to": 4}}
    (row,) = publish.rows("kto", example("r-1", judged("rating", 4)), votes=votes)
    assert row["label"] is False


def test_an_edit_becomes_an_sft_and_a_dpo_row(publish: Publish) -> None:
    edited = example("r-1", judged("edit", BETTER))
    assert publish.rows("sft", edited) == [{"prompt": user(), "completion": assistant(BETTER)}]
    assert publish.rows("dpo", edited) == [{"prompt": user(), "chosen": assistant(BETTER), "rejected": assistant()}]


def test_a_choice_becomes_a_dpo_row(publish: Publish) -> None:
    one, other = example("r-1", judged("choice", "r-2")), example("r-2", text=BETTER)
    assert publish.rows("dpo", one, other) == [{"prompt": user(), "chosen": assistant(), "rejected": assistant(BETTER)}]


def test_siblings_judged_oppositely_become_a_dpo_row(publish: Publish) -> None:
    liked, disliked = example("r-1", judged("thumb", True)), example("r-2", judged("thumb", False), text=BETTER)
    dpo = {"prompt": user(), "chosen": assistant(), "rejected": assistant(BETTER)}
    assert publish.rows("dpo", liked, disliked) == [dpo]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (example("r-3", text=BETTER), "partner-unknown"),
        (example("r-2", text=BETTER, asked="What is a refund?"), "other-prompt"),
        (example("r-2"), "same-text"),
        (example("r-2", text=BETTER, tenant="acme"), "partner-unknown"),
        (example("r-2", judged("report", "wrong", by="ben"), text=BETTER), "reported"),
    ],
)
def test_a_choice_between_what_cannot_be_compared_becomes_nothing(
    publish: Publish, other: ExampleRecorded, reason: str
) -> None:
    kept = example("r-9", judged("thumb", True), asked="Something else?")
    published = publish(kept, example("r-1", judged("choice", "r-2")), other)
    assert list(published.dataset.rows("dpo", "train")) == []
    assert published.dataset.manifest.left_out["rows"] == {reason: 1}


def test_a_prompt_with_thousands_of_judged_answers_gives_as_many_pairs_as_the_policy_says(publish: Publish) -> None:
    many = [example(f"r-{n}", judged("thumb", n % 2 == 0, by=f"s{n}"), text=f"Answer number {n}.") for n in range(60)]
    assert len(publish.rows("dpo", *many, pairs_per_prompt=3)) == 3


@pytest.mark.parametrize("consent", [True, False])
def test_a_reported_answer_becomes_nothing_whether_its_reporter_consents_or_not(
    publish: Publish, consent: bool
) -> None:
    reported = example("r-1", judged("thumb", True), judged("report", "harmful", by="ben", consent=consent))
    assert publish.rows("kto", reported) == []
    assert len(publish.rows("kto", reported, reports={"exclude": True, "categories": ["spam"]})) == 1


@pytest.mark.parametrize(("ups", "downs", "label"), [(3, 1, True), (1, 3, False), (2, 2, None), (1, 1, None)])
def test_enough_of_the_judges_must_agree(publish: Publish, ups: int, downs: int, label: bool | None) -> None:
    votes = [judged("thumb", n < ups, by=f"s{n}") for n in range(ups + downs)]
    rows = publish.rows("kto", example("r-1", *votes))
    assert [row["label"] for row in rows] == ([] if label is None else [label])


def test_there_must_be_enough_judges(publish: Publish) -> None:
    votes = [judged("thumb", True, by=f"s{n}") for n in range(2)]
    assert publish.rows("kto", example("r-1", *votes), judges={"minimum": 3}) == []
    assert len(publish.rows("kto", example("r-1", *votes), judges={"minimum": 2})) == 1


def test_one_person_is_one_judge_whose_last_word_counts(publish: Publish) -> None:
    early = [judged("thumb", True, by="ann", feedback_id=f"f-{n}") for n in range(5)]
    late = judged("thumb", False, by="ann", feedback_id="f-9", created_at=START + timedelta(hours=1))
    (row,) = publish.rows("kto", example("r-1", *early, late))
    assert row["label"] is False


def test_tenants_that_the_policy_does_not_name_are_left_out(publish: Publish) -> None:
    ours, theirs = example("r-1", judged("thumb", True)), example("r-2", judged("thumb", False), tenant="acme")
    published = publish(ours, theirs, tenants=["default"])
    assert published.dataset.manifest.rows == {"kto": {"train": 1}}
    assert published.dataset.manifest.left_out["examples"] == {"other-tenant": 1}


def test_siblings_of_two_tenants_are_no_pair(publish: Publish) -> None:
    ours = example("r-1", judged("thumb", True))
    assert publish.rows("dpo", ours, example("r-2", judged("thumb", False), text=BETTER, tenant="acme")) == []


def test_the_plain_form_says_who_speaks(publish: Publish) -> None:
    asked = [
        Message(role="developer", content="Be brief."),
        Message(role="user", content="Hello"),
        Message(role="assistant", content="Hi!"),
        Message(role="user", content=RETURNS),
    ]
    published = publish(example("r-1", judged("thumb", True), asked=asked))
    prompt = f"System: Be brief.\n\nUser: Hello\n\nAssistant: Hi!\n\nUser: {RETURNS}\n\nAssistant:"
    (row,) = published.dataset.rows("kto", "train", "plain")
    assert row == {"prompt": prompt, "completion": f" {ANSWER}", "label": True}
    (told,) = published.dataset.rows("kto", "train")
    assert told["prompt"][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (example("r-1", judged("thumb", True), text=" \n"), "empty"),
        (example("r-1", judged("thumb", True), text="Yes"), "too-short"),
        (example("r-1", judged("thumb", True), text="Yes. " * 50), "too-long"),
        (example("r-1", judged("thumb", True), asked="Why? " * 50), "prompt-too-long"),
        (example("r-1", judged("thumb", True), asked=[Message(role="system", content="Hi")]), "prompt-form"),
        (example("r-1", judged("edit", ANSWER + ".")), "edit-too-small"),
        (example("r-1", judged("edit", "x" * 40)), "edit-too-large"),
        (example("r-1", judged("edit", "Up to 14 d")), "lengths-too-different"),
    ],
)
def test_rows_that_are_not_good_enough_are_counted(publish: Publish, bad: ExampleRecorded, reason: str) -> None:
    filters = {
        "prompt_characters": 200,
        "completion_characters": {"minimum": 4, "maximum": 200},
        "length_ratio": 3,
        "edit_distance": {"minimum": 0.1, "maximum": 0.9},
    }
    good = example("r-9", judged("thumb", True), asked="Where is my parcel?", text="It is on its way.")
    published = publish(good, bad, filters=filters, become={"edits": ["dpo"]})
    assert published.dataset.manifest.total == 1
    assert published.dataset.manifest.left_out["rows"] == {reason: 1}


def test_copies_are_one_row_that_the_most_copies_decide(publish: Publish) -> None:
    same = [example(f"r-{n}", judged("thumb", n < 3, by=f"s{n}")) for n in range(4)]
    (row,) = publish.rows("kto", *same)
    assert row["label"] is True
    assert publish.rows("kto", *same[1:], same[3].model_copy(update={"response_id": "r-5"})) == []


def test_near_duplicates_are_one_row(publish: Publish) -> None:
    text = "You may return an order up to fourteen days after the day on which the parcel has come to your door. "
    near = [example(f"r-{n}", judged("thumb", True), text=text * 2 + f"Bye {n}") for n in range(5)]
    assert len(publish.rows("kto", *near)) == 1
    assert len(publish.rows("kto", *near, near_duplicates=None)) == 5


def test_the_same_answer_to_two_questions_is_no_near_duplicate(publish: Publish) -> None:
    asked = ("May I bring back the blue kettle without its box?", "Do you take back opened books from the sale?")
    assert len(publish.rows("kto", *(example(a, judged("thumb", True), asked=a) for a in asked))) == 2


def test_nearly_the_same_answer_liked_and_disliked_stays_twice(publish: Publish) -> None:
    text = "You may return an order up to fourteen days after the day on which the parcel has come to your door. " * 2
    liked, disliked = (
        example("r-1", judged("thumb", True), text=text),
        example("r-2", judged("thumb", False), text=text + "Bye"),
    )
    assert len(publish.rows("kto", liked, disliked)) == 2


def test_where_nothing_becomes_a_row_the_reasons_are_told(publish: Publish) -> None:
    with pytest.raises(EmptyDatasetError, match=r"1 examples reported"):
        publish(example("r-1", judged("report", "harmful")))
    with pytest.raises(EmptyDatasetError, match="there were no examples"):
        publish()


def test_votes_may_become_sft_rows_of_what_was_liked(publish: Publish) -> None:
    liked, disliked = example("r-1", judged("thumb", True)), example("r-2", judged("thumb", False), text=BETTER)
    rows = publish.rows("sft", liked, disliked, become={"votes": ["sft"]})
    assert rows == [{"prompt": user(), "completion": assistant()}]
