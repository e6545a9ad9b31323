"""Texts masked together: what one gives away is masked in all, and nothing written as a placeholder gets past."""
# ruff: noqa: RUF001 - look-alike characters are the point

import re
from itertools import islice

import pytest

from libs.personal_data import Finding, PatternDetector, Unmaskable, mask_together

FIND = PatternDetector().find


def masked(*texts: str, already: tuple[str, ...] = ()) -> tuple[str, ...]:
    return mask_together(FIND, texts, already).texts


@pytest.mark.parametrize(
    ("gives_away", "elsewhere", "left"),
    [
        ("password: x1y2z3q4", "I logged in with x1y2z3q4.", "I logged in with <PASSWORD>."),
        ("password: x1y2z3q4", "export DB_X1Y2Z3Q4_OLD", "export DB_<PASSWORD>_OLD"),
        ("my phone: 5551234567", "555-12 34.567 is busy", "<PHONE_NUMBER> is busy"),
        ("my phone: 5551234567", "tel5551234567", "tel<PHONE_NUMBER>"),
        ("my phone: 5551234567", "on two lines: 5551\n234567", "on two lines: <PHONE_NUMBER>"),
        ("my phone: 5551234567", "order ５５５１２３４５６７", "order <PHONE_NUMBER>"),
        ("BSN: 111222333", "111-222-333", "<NL_BSN>"),
        ("ada@example.org", "ADA @Example.\u200borg", "<EMAIL_ADDRESS>"),
        ("DE89 3704 0044 0532 0130 00", "de89-3704004405320130-00", "<IBAN>"),
        ("4111 1111 1111 1111", "4111.1111.1111/1111", "<CREDIT_CARD>"),
        ("4111 1111 1111 1111", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "<CREDIT_CARD>"),
    ],
)
def test_a_value_that_one_text_gives_away_is_masked_in_every_other(gives_away: str, elsewhere: str, left: str) -> None:
    alone = masked(elsewhere)[0]
    together = mask_together(FIND, [gives_away], already=[elsewhere])
    assert masked(gives_away, elsewhere)[1] == left
    assert together.already == (left,)
    assert alone in (elsewhere, left)


@pytest.mark.parametrize(
    "text", ["15551234567 and 5551234567 8", "hunter22nd", "bada@example.organic.example", "5551234 and 567", ""]
)
def test_what_is_part_of_a_longer_word_or_number_is_another_value(text: str) -> None:
    _, left = masked("my phone: 55512345, password: hunter2!, nada@example.org", text)
    assert left == masked(text)[0]


def test_one_value_has_one_kind_in_every_text() -> None:
    assert masked("SSN 536904399", "my phone: 536904399", "536-90-4399") == (
        "SSN <US_SSN>",
        "my phone: <US_SSN>",
        "<US_SSN>",
    )
    assert masked("Steuer-ID 86095742719", "+86095742719") == ("Steuer-ID <DE_TAX_ID>", "<DE_TAX_ID>")


def test_placeholders_of_masked_texts_stay_and_new_values_get_no_number() -> None:
    result = mask_together(
        FIND,
        ["Write to bob@example.org, not to <EMAIL_ADDRESS_1>."],
        already=["Is <EMAIL_ADDRESS_1> right? Not bob@example.org?", "It is <EMAIL_ADDRESS_1>, <PHONE_NUMBER>."],
    )
    assert result.texts == ("Write to <EMAIL_ADDRESS>, not to <EMAIL_ADDRESS_1>.",)
    assert result.already == (
        "Is <EMAIL_ADDRESS_1> right? Not <EMAIL_ADDRESS>?",
        "It is <EMAIL_ADDRESS_1>, <PHONE_NUMBER>.",
    )
    assert result.counts == {"EMAIL_ADDRESS": 1}


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("<EMAIL_ADDRESS_1>", "<EMAIL_ADDRESS_1>"),
        ("<EMAIL_ADDRESS>", "<EMAIL_ADDRESS>"),
        ("<EMAIL_ADDRESS_2>", "<EMAIL_ADDRESS>"),
        ("<email_address_1>", "<EMAIL_ADDRESS>"),
        ("< EMAIL_ADDRESS_01 >", "<EMAIL_ADDRESS>"),
        ("<EMAIL_\u200bADDRESS_1>", "<EMAIL_ADDRESS>"),
        ("\uff1cEMAIL_ADDRESS_1\uff1e", "<EMAIL_ADDRESS>"),
        ("<PHONE_NUMBER_493012345678>", "<PHONE_NUMBER>"),
        ("<CREDIT_CARD_4111111111111111>", "<CREDIT_CARD>"),
        ("<PASSWORD_00000000000000000000000000000000000001>", "<PASSWORD>"),
        ("<FIRST_NAME_1> <b> <br/>", "<FIRST_NAME_1> <b> <br/>"),
    ],
)
def test_of_what_looks_like_a_placeholder_only_what_the_masked_texts_hold_stays(written: str, left: str) -> None:
    assert masked(f"It is {written}!", already=("Ask <EMAIL_ADDRESS_1>.",)) == (f"It is {left}!",)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("4111 1111<EMAIL_ADDRESS_1> 1111 1111", "<CREDIT_CARD>"),
        ("ada@exa<IBAN>mple.org", "<EMAIL_ADDRESS>"),
        ("password: x1y2<email_address_7>z3q4", "password: <PASSWORD>"),
        ("+49 30 12<EMAIL_ADDRESS_1><EMAIL_ADDRESS_1>34567", "<PHONE_NUMBER>"),
        ("x1y2<IBAN>z3q4 and passcode: x1y2z3q4", "<PASSWORD> and passcode: <PASSWORD>"),
    ],
)
def test_a_placeholder_in_the_middle_of_a_value_does_not_hide_it(text: str, left: str) -> None:
    assert masked(text, already=("Ask <EMAIL_ADDRESS_1>.",)) == (left,)


@pytest.mark.parametrize(
    "text",
    [
        "password: <PASSWORD> Please Forgive Immediately",
        "Phone <PHONE_NUMBER>, 4 items, 12 <IBAN> 34",
        '<a href="mailto:<EMAIL_ADDRESS>"><EMAIL_ADDRESS></a>',
        "a < b and c > d, <EMAIL>, List<String_1>",
    ],
)
def test_words_beside_a_placeholder_stay(text: str) -> None:
    assert masked(text) == (text,)


def test_a_masked_texts_placeholder_stays_even_inside_a_value() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIE<EMAIL_ADDRESS_1>vQ==\n-----END PRIVATE KEY-----"
    result = mask_together(FIND, [], already=[key])
    assert result.already == ("<PRIVATE_KEY><EMAIL_ADDRESS_1><PRIVATE_KEY>",)


def test_no_part_of_a_value_that_overlaps_another_is_left() -> None:
    (left, _) = masked("say ab12.cd34!5551234567 now", "password: ab12.cd34!555 my phone: 5551234567")
    assert left == "say ab12.cd34!<PHONE_NUMBER> now"
    (left, *_) = masked("say ab12.cd34!555 1234567 now", "password: ab12.cd34!555", "my phone: 5551234567")
    assert left == "say <PASSWORD> now"
    (left, *_) = masked("say abc1!49 30 1234567 now", "password: abc1!49", "+49 30 1234567")
    assert left == "say <PHONE_NUMBER> now"


def test_a_value_that_a_placeholder_cut_in_two_is_known_in_other_texts_too() -> None:
    assert masked("password: x1y2<IBAN>z3q4", "I used x1y2z3q4.") == ("password: <PASSWORD>", "I used <PASSWORD>.")


def test_a_value_that_reads_like_a_part_of_a_placeholder_does_not_break_it() -> None:
    result = mask_together(FIND, ["passcode: Address"], already=["Ask <EMAIL_ADDRESS_1>."])
    assert result.texts == ("passcode: <PASSWORD>",)
    assert result.already == ("Ask <EMAIL_ADDRESS_1>.",)


def test_a_value_that_masking_lays_bare_is_known_in_other_texts_too() -> None:
    def one_after_the_other(text: str) -> list[Finding]:
        match = re.search(r"first1|(?<=<PASSWORD> )second2", text)
        return [Finding(*match.span(), "PASSWORD")] if match else []

    texts = mask_together(one_after_the_other, ["first1 second2", "second2 alone"]).texts
    assert texts == ("<PASSWORD> <PASSWORD>", "<PASSWORD> alone")


def test_a_text_that_cannot_be_cleaned_is_reported_and_not_passed() -> None:
    def one_letter_at_a_time(text: str) -> list[Finding]:
        return [Finding(m.start(), m.end(), "PASSWORD") for m in islice(re.finditer(r"\bx|(?<=>)x", text), 1)]

    assert mask_together(one_letter_at_a_time, ["xxx"]).texts == ("<PASSWORD><PASSWORD><PASSWORD>",)
    with pytest.raises(Unmaskable):
        mask_together(one_letter_at_a_time, ["x" * 9])
