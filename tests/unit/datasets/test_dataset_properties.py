"""Whatever people say, in whatever order it comes: one data set, nothing without consent, no leak, no cap exceeded."""

import json
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.datasets import KINDS, SPLITS, Dataset, Datasets, EmptyDatasetError, Policy, diff
from schemas.feedback import ExampleRecorded
from tests.support.examples import crowds, example, judged

SPLIT = {"train": 0.4, "validation": 0.3, "test": 0.3}
LAX = {"filters": {"edit_distance": {"minimum": 0}}}
POLICY = Policy.model_validate({"name": "test", "version": 1, "splits": SPLIT, **LAX})
CAPPED = POLICY.model_copy(update={"judges": POLICY.judges.model_copy(update={"judgements_per_subject": 2})})
SOURCES = {"example-recorded": {0: 17, 1: 4}}


@contextmanager
def published(examples: Sequence[ExampleRecorded], policy: Policy = POLICY) -> Iterator[Dataset | None]:
    # In memory where there is such a folder: a thousand data sets need not outlive the machine.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        try:
            yield Datasets(Path(folder)).publish(examples, policy, sources=SOURCES).dataset
        except EmptyDatasetError:
            yield None


def bytes_of(examples: Sequence[ExampleRecorded], policy: Policy = POLICY) -> dict[str, bytes]:
    with published(examples, policy) as dataset:
        if dataset is None:
            return {}
        files = (path for path in dataset.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(dataset.folder.parent)): path.read_bytes() for path in files}


@settings(max_examples=250)
@given(crowd=crowds(), order=st.randoms(use_true_random=False), policy=st.sampled_from([POLICY, CAPPED]))
def test_any_order_and_any_copies_of_the_same_examples_give_the_same_bytes(
    crowd: list[ExampleRecorded], order: random.Random, policy: Policy
) -> None:
    shuffled = [*crowd, *order.sample(crowd, k=order.randint(0, len(crowd)))]
    order.shuffle(shuffled)
    assert bytes_of(shuffled, policy) == bytes_of(crowd, policy)


def test_five_hundred_orders_of_one_busy_crowd_give_the_same_bytes() -> None:
    order = random.Random(7)
    crowd = busy(24, order)
    expected = bytes_of(crowd)
    assert len(expected) > 6
    for _ in range(500):
        order.shuffle(crowd)
        assert bytes_of(crowd) == expected


def test_which_near_duplicate_stays_does_not_depend_on_the_order() -> None:
    order, said = random.Random(11), " ".join(f"word{number}" for number in range(80))
    crowd = [
        example(f"r-{n}", judged("thumb", True), asked=f"Question {n % 2}?", text=f"{said} end{n}") for n in range(12)
    ]
    expected = bytes_of(crowd)
    with published(crowd) as dataset:
        assert dataset is not None
        assert dataset.manifest.rows_of("kto") == 2
    for _ in range(20):
        order.shuffle(crowd)
        assert bytes_of(crowd) == expected


def test_which_of_equal_answers_is_paired_does_not_depend_on_the_order() -> None:
    order = random.Random(13)
    liked = [example(f"r-{n}", judged("thumb", True, feedback_id=f"f-{n}")) for n in range(6)]
    crowd = [*liked, example("r-9", judged("thumb", False), text="Never at all.")]
    expected = bytes_of(crowd)
    for _ in range(20):
        order.shuffle(crowd)
        assert bytes_of(crowd) == expected


@settings(max_examples=100)
@given(crowds())
def test_what_nobody_consented_to_never_appears(crowd: list[ExampleRecorded]) -> None:
    consented = {it.feedback_id for told in crowd for it in told.judgements if it.consent}
    with published(crowd) as dataset:
        for row in dataset.lineage() if dataset else ():
            assert row.feedback
            assert set(row.feedback) <= consented


@settings(max_examples=100)
@given(crowds())
def test_without_any_consent_there_is_no_data_set(crowd: list[ExampleRecorded]) -> None:
    refused = [
        it.model_copy(update={"judgements": tuple(j.model_copy(update={"consent": False}) for j in it.judgements)})
        for it in crowd
    ]
    assert bytes_of(refused) == {}


@settings(max_examples=100)
@given(crowds(largest=14))
def test_no_conversation_is_in_two_splits(crowd: list[ExampleRecorded]) -> None:
    splits: dict[tuple[str, str], set[str]] = defaultdict(set)
    with published(crowd) as dataset:
        for row in dataset.lineage() if dataset else ():
            for answer in row.answers:
                splits[row.tenant, answer.conversation_id].add(row.split)
    assert all(len(found) == 1 for found in splits.values())


def test_conversations_that_rows_join_one_after_the_other_are_in_one_split() -> None:
    chain = [
        example(f"r-{n}-{side}", *([judged("choice", f"r-{n}-b", feedback_id=f"f-{n}")] if side == "a" else []),
                asked=f"Question {n}?", text=f"Answer {n} {side}", conversation=f"c-{n + (side == 'b')}")
        for n in range(30) for side in "ab"
    ]  # fmt: skip
    with published(chain) as dataset:
        assert dataset is not None
        assert dataset.manifest.largest_group == 31
        assert len({row.split for row in dataset.lineage()}) == 1
    with published(chain[:6] + chain[8:30] + chain[32:]) as dataset:
        assert dataset is not None
        assert dataset.manifest.largest_group == 15


def test_a_busy_person_counts_as_often_as_the_cap_allows() -> None:
    busiest = [example(f"r-{n}", judged("thumb", True, feedback_id=f"f-{n}"), text=f"Answer {n}.") for n in range(9)]
    with published(busiest, CAPPED) as dataset:
        assert dataset is not None
        assert dataset.manifest.rows_of("kto") == 2
        assert dataset.manifest.left_out["judgements"] == {"over-the-cap": 7}


@settings(max_examples=100)
@given(crowds(largest=14))
def test_no_person_counts_more_often_than_the_cap_allows(crowd: list[ExampleRecorded]) -> None:
    who = {it.feedback_id: (told.tenant, it.subject) for told in crowd for it in told.judgements}
    with published(crowd, CAPPED) as dataset:
        used = {name for row in (dataset.lineage() if dataset else ()) for name in row.feedback}
    counts = Counter(who[name] for name in used)
    assert all(count <= 2 for (_, subject), count in counts.items() if subject is not None)


@settings(max_examples=100)
@given(crowds())
def test_what_is_published_is_whole_and_every_row_can_be_traced(crowd: list[ExampleRecorded]) -> None:
    known = {told.response_id: told for told in crowd}
    with published(crowd) as dataset:
        if dataset is None:
            return
        assert dataset.verify() == []
        lineage = list(dataset.lineage())
        for row in lineage:
            body = list(dataset.rows(row.kind, row.split))[row.line - 1]
            texts = {body[name][0]["content"] for name in ("completion", "chosen", "rejected") if name in body}
            said = {str(j.value) for a in row.answers for j in known[a.response_id].judgements if j.kind == "edit"}
            assert texts <= said | {known[answer.response_id].text for answer in row.answers}
        rows = sum(len(list(dataset.rows(kind, split))) for kind in KINDS for split in SPLITS)
        assert rows == len(lineage) == dataset.manifest.total


@settings(max_examples=60)
@given(crowds(), st.sampled_from(["ann", "ben", "cem"]))
def test_who_is_erased_is_in_no_later_data_set(crowd: list[ExampleRecorded], gone: str) -> None:
    left = [it.model_copy(update={"judgements": tuple(j for j in it.judgements if j.subject != gone)}) for it in crowd]
    theirs = {j.feedback_id for it in crowd for j in it.judgements if j.subject == gone}
    with published(left) as dataset:
        assert not theirs & {name for row in (dataset.lineage() if dataset else ()) for name in row.feedback}


def test_the_difference_of_two_data_sets_is_what_was_added_and_removed(tmp_path: Path) -> None:
    crowd = busy(60, random.Random(3))
    datasets = Datasets(tmp_path)
    # Rows of one answer only: none of them depends on another example.
    alone = POLICY.model_copy(update={"become": POLICY.become.model_copy(update={"siblings": (), "choices": ()})})
    old = datasets.publish(crowd[:40], alone).dataset
    new = datasets.publish(crowd[20:], alone).dataset
    before, after = ({row.row for row in it.lineage()} for it in (old, new))
    found = diff(old, new, keep=10_000)
    assert {it.row.row for it in found.changes if it.change == "added"} == after - before
    assert {it.row.row for it in found.changes if it.change == "removed"} == before - after
    assert found.same + found.total("moved") == len(before & after)
    assert min(found.total("added"), found.total("removed"), found.same) > 0


def test_a_conversation_keeps_its_split_when_others_come(tmp_path: Path) -> None:
    crowd = [example(f"r-{n}", judged("thumb", True), asked=f"Question {n}?", text=f"Answer {n}.") for n in range(90)]
    datasets = Datasets(tmp_path)
    old, new = (datasets.publish(it, POLICY).dataset for it in (crowd[:50], crowd))
    assert diff(old, new).total("moved") == 0
    assert {row.split for row in new.lineage()} == set(SPLITS)


def busy(count: int, order: random.Random) -> list[ExampleRecorded]:
    """Few prompts, answers and people, and every kind of judgement."""
    ids = [f"r-{n}" for n in range(count)]
    found = []
    for number, name in enumerate(ids):
        who = f"s{order.randint(0, 6)}"
        judgements = [judged("thumb", order.random() < 0.5, who, feedback_id=f"{name}-a")]
        if number % 3 == 0:
            judgements.append(judged("edit", f"A better text, number {number}.", who, feedback_id=f"{name}-b"))
        if number % 4 == 0 and (other := order.choice(ids)) != name:
            judgements.append(judged("choice", other, who, feedback_id=f"{name}-c"))
        asked, text = f"Question {order.randint(0, 5)}?", f"Answer number {order.randint(0, 9)}."
        found.append(example(name, *judgements, asked=asked, text=text, conversation=f"c-{order.randint(0, count)}"))
    return found


def test_the_manifest_tells_the_rules_the_sources_and_the_erasures(tmp_path: Path) -> None:
    told = Datasets(tmp_path).publish(
        [example("r-1", judged("thumb", True))], POLICY, sources=SOURCES, erased_subjects=3
    )
    manifest = json.loads((told.dataset.folder / "manifest.json").read_bytes())
    assert manifest["sources"] == {"example-recorded": {"0": 17, "1": 4}}
    assert manifest["erased_subjects"] == 3
    assert manifest["policy"]["digest"] == POLICY.digest
    assert Policy.model_validate(manifest["policy"]["rules"]) == POLICY
    assert manifest["read"] == {"examples": 1, "judgements": 1}
