"""What holds for any texts that are masked together, and what it may cost."""

import re
from collections.abc import Callable
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.personal_data import ENTITY_TYPES, MaskedTogether, PatternDetector, mask_together, plain
from tests.support.linear_time import HOSTILE, cost, grows_in_step

FIND = PatternDetector().find
WORDY = {"EMAIL_ADDRESS", "IP_ADDRESS", "API_KEY", "JWT", "PRIVATE_KEY", "PASSWORD", "URL_CREDENTIALS"}
PLACEHOLDER = re.compile(rf"<(?:{'|'.join(ENTITY_TYPES)})(?:_[1-9][0-9]{{0,4}})?>")

VALUES = (
    *("ada@example.org", "Ada@Example.ORG", "ada @ example.org", "ada\u200b@example.org", "ada (at) example (dot) org"),
    *("4111 1111 1111 1111", "4111111111111111", "4111-11111111-1111", "5551234567", "555 123 4567", "+49 30 1234567"),
    *("DE89370400440532013000", "de89 3704 0044 0532 0130 00", "536904399", "536-90-4399", "111222333", "192.168.1.7"),
    *("hunter2!x", "HUNTER2!X", "AKIAIOSFODNN7EXAMPLE", "https://u:pw@example.org", "-----BEGIN PRIVATE KEY-----"),
)
WORDS = ("password: ", "my phone: ", "SSN ", "BSN ", "-----END PRIVATE KEY-----", " and ", ", ", "\n", *"_*x7")
WRITTEN = (
    *("<EMAIL_ADDRESS_1>", "<EMAIL_ADDRESS_2>", "<IBAN>", "<email_address_1>", "<CREDIT_CARD_0004111111111111>"),
    *("<b>", "<FIRST_NAME_1>"),
)
filler = st.text(alphabet=st.sampled_from(" abXY019@.,:-_<>()/+#\n\u200b\uff10\u00e9\u00df"), max_size=8)
texts = st.lists(st.sampled_from((*VALUES, *VALUES, *WORDS, *WRITTEN)) | filler, max_size=7).map("".join)
several = st.lists(texts, max_size=3)


def together(new: list[str], already: list[str]) -> MaskedTogether:
    return mask_together(FIND, new, already)


@settings(max_examples=400)
@given(several, several)
def test_masking_what_is_masked_changes_nothing(new: list[str], already: list[str]) -> None:
    once = together(new, already)
    twice = mask_together(FIND, once.texts, once.already)
    assert (twice.texts, twice.already, twice.counts) == (once.texts, once.already, {})


@settings(max_examples=150)
@given(several, several)
def test_the_order_of_the_texts_does_not_matter(new: list[str], already: list[str]) -> None:
    expected = together(new, already)
    for order in permutations(range(len(new))):
        other = together([new[i] for i in order], already[::-1])
        assert other.texts == tuple(expected.texts[i] for i in order)
        assert (other.already[::-1], other.counts) == (expected.already, expected.counts)


@settings(max_examples=400)
@given(several, several)
def test_no_value_found_in_any_text_stands_in_any_other_afterwards(new: list[str], already: list[str]) -> None:
    found = {(t[f.start : f.end], f.entity_type in WORDY) for t in (*new, *already) for f in FIND(t)}
    result = together(new, already)
    for left in (*result.texts, *result.already):
        assert FIND(left) == []
        bare = PLACEHOLDER.sub("\0", plain(left).text)
        assert not [value for value, wordy in found if stands_in(bare, value, wordy=wordy)]


def stands_in(text: str, value: str, *, wordy: bool) -> bool:
    """The rule said another way than the library says it: one pattern for each value."""
    if wordy:
        body = r"\s*".join(map(re.escape, re.findall(r"[^\W_]+|\S", plain(value).text)))
    else:
        body = r"[\s.\-/()]{0,2}".join(character for character in plain(value).text if character.isalnum())
    return re.search(rf"(?<![^\W_]){body}(?![^\W_])", text, re.IGNORECASE) is not None


@settings(max_examples=300)
@given(several, several)
def test_masked_texts_keep_their_placeholders_and_new_ones_get_none_but_those(
    new: list[str], already: list[str]
) -> None:
    result = together(new, already)
    for before, after in zip(already, result.already, strict=True):
        assert _numbered(after) == _numbered(before)
    given_out = {placeholder for text in already for placeholder in _numbered(text)}
    for text in result.texts:
        assert set(_numbered(text)) <= given_out
        assert not re.search(r"<[A-Z_]*_[0-9]{6,}>", text, re.IGNORECASE)


@given(
    st.sampled_from(
        [
            ("EMAIL_ADDRESS", "ada@example.org"),
            ("CREDIT_CARD", "4111 1111 1111 1111"),
            ("IBAN", "DE89370400440532013000"),
            ("PHONE_NUMBER", "+49 30 1234567"),
            ("US_SSN", "536-90-4399"),
            ("API_KEY", "AKIAIOSFODNN7EXAMPLE"),
        ]
    ),
    st.lists(st.sampled_from(WRITTEN[:5]), min_size=1, max_size=3).map("".join),
    st.data(),
)
def test_placeholders_written_anywhere_into_a_value_leave_nothing_of_it(
    value: tuple[str, str], written: str, data: st.DataObject
) -> None:
    kind, text = value
    at = data.draw(st.integers(2, len(text) - 1))
    (left,) = mask_together(FIND, [f"It is {text[:at]}{written}{text[at:]}, see?"], ["<EMAIL_ADDRESS_1>"]).texts
    assert left == f"It is <{kind}>, see?"


@given(several, several)
def test_kinds_that_the_given_detector_leaves_out_stay(new: list[str], already: list[str]) -> None:
    result = mask_together(lambda text: [f for f in FIND(text) if f.entity_type == "IBAN"], new, already)
    assert set(result.counts) <= {"IBAN"}
    assert sum(text.count("ada@example.org") for text in (*result.texts, *result.already)) == sum(
        text.count("ada@example.org") for text in (*new, *already)
    )


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60), max_size=3))
def test_a_text_without_values_comes_out_as_it_went_in(new: list[str]) -> None:
    harmless = [text for text in new if not FIND(text)]
    assert mask_together(FIND, harmless) == MaskedTogether(tuple(harmless), (), {})


UNITS = (
    *("a ", "1 ", "4111 ", "DE89 ", "_", "<", "<IBAN_", "<iban_9>", "<EMAIL_ADDRESS_1>", "\u200b", "!a", "password: "),
    *("password: Ab1cdef ", "password: !a!a!a1 ", "my phone: 1 1 1 1 1 1 1 1 ", "-----BEGIN PRIVATE KEY-----"),
    *(
        "4111 1111<EMAIL_ADDRESS_1> 1111 1111 ",
        "-----BEGIN PRIVATE KEY-----a-----END PRIVATE KEY-----",
        "".join(HOSTILE),
    ),
)
HINTS = f" password: a1{'!a' * 250} my phone: 11111111111 ada@example.org 4111 1111 1111 1111 <EMAIL_ADDRESS_1> "
"""Something to know by heart that what comes before looks like."""


@pytest.mark.parametrize("unit", UNITS)
def test_eight_times_the_edit_costs_about_eight_times_as_much(unit: str) -> None:
    assert grows_in_step(_both_ways, unit, HINTS, least=2_048)


@pytest.mark.parametrize(
    "value",
    [
        lambda n: f"u{n}@e{n}.org ",
        lambda n: f"+49 30 {n:07d}, ",
        lambda n: f"password: Ab{n:06d} ",
        lambda n: f"password: a{n}{'!a' * (n % 50)}{'!b' * (n % 60)} ",
    ],
)
def test_as_many_values_as_an_edit_can_hold_cost_in_step_with_it(value: Callable[[int], str]) -> None:
    few, many = ("".join(map(value, range(count))) for count in (100, 800))
    assert cost(_both_ways, many) < 24 * cost(_both_ways, few) + 0.05


def _both_ways(text: str) -> object:
    return mask_together(FIND, [text], [text.upper()])  # every value twice, of which one is searched by heart only


def _numbered(text: str) -> list[str]:
    return re.findall(rf"<(?:{'|'.join(ENTITY_TYPES)})_[1-9][0-9]{{0,4}}>", text)
