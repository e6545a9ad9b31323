"""Near-duplicates are found by texts alone: by sketches as often as is promised, and by nothing else."""

import random

import pytest

from libs.datasets._near import bands, shingles, similar

WORDS = [f"word{number}" for number in range(2000)]


def jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other)


@pytest.mark.parametrize(("changed", "least"), [(1, 0.97), (2, 0.9)])
def test_texts_with_few_words_changed_share_a_band(changed: int, least: float) -> None:
    draw, found = random.Random(1), 0
    for _ in range(300):
        text = draw.choices(WORDS, k=120)
        other = list(text)
        for place in draw.sample(range(120), changed):
            other[place] = "changed"
        one, two = shingles(" ".join(text)), shingles(" ".join(other))
        assert jaccard(one, two) > 0.85
        found += bool(set(bands([one], 0)) & set(bands([two], 0)))
    assert found >= least * 300


def test_texts_that_have_nothing_in_common_share_no_band() -> None:
    draw = random.Random(2)
    kept = [set(bands([shingles(" ".join(draw.choices(WORDS, k=60)))], 0)) for _ in range(300)]
    assert sum(bool(one & other) for n, one in enumerate(kept) for other in kept[:n]) == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello, World!", "hello,  world!\n"),
        ("\uff28\uff49 there you", "Hi there you"),
        ("\u8fd4\u54c1\u671f\u9650\u3002", "\u8fd4\u54c1\u671f\u9650\u3002"),
    ],
)
def test_case_spaces_and_compatible_letters_make_no_difference(one: str, other: str) -> None:
    assert shingles(one) == shingles(other)


def test_scripts_without_spaces_are_compared_letter_by_letter() -> None:
    one = "\u5546\u54c1\u5230\u8d27\u540e\u5341\u56db\u5929\u5185\u53ef\u4ee5\u9000\u8d27"
    assert 0 < jaccard(shingles(one), shingles(one[:-1] + "\u6b3e")) < 1


@pytest.mark.parametrize("text", ["", " \n ", "yes", "yes no"])
def test_texts_of_few_words_have_a_sketch_too(text: str) -> None:
    assert len(bands([shingles(text)], 0)) == 6
    assert similar([shingles(text)], [shingles(text)], 1.0)
    assert len(shingles(text)) == bool(text.strip())


def test_each_part_must_be_similar() -> None:
    question, answer = shingles("how long may I return it"), shingles("up to fourteen days")
    assert similar([question, answer], [question, answer], 0.9)
    assert not similar([question, answer], [question, shingles("never ever at all")], 0.5)


def test_kinds_are_kept_apart_by_their_salt() -> None:
    part = shingles("up to fourteen days after it has come")
    assert not set(bands([part], 0)) & set(bands([part], 1))
